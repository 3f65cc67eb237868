//! Prints the OpenAPI document: `cargo run -q -p api --example openapi > crates/api/openapi.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &api::openapi())?;
    writeln!(out)
}
