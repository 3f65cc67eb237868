//! The workshop: what builds, checks and packs Pitwall and is not part of it. Run as `cargo xtask COMMAND`.

mod api_compat;
mod bundle;
mod oci_layout;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks and packs Pitwall")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Refuse an OpenAPI document that breaks clients of a released one
    ApiCompat(api_compat::Args),
    /// Make the kernel and initramfs that every microVM starts from, in target/bundle
    Bundle(bundle::Args),
    /// Make an OCI layout of a tar
    OciLayout(oci_layout::Args),
    /// Hold the crates against architecture.toml, and the papers against both
    Tidy,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::ApiCompat(args) => api_compat::run(&args).map_err(|error| report(&error)),
        Command::Bundle(args) => bundle::run(&args).map_err(|error| report(&error)),
        Command::OciLayout(args) => oci_layout::run(&args).map_err(|error| report(&error)),
        Command::Tidy => tidy::run().map_err(|error| report(&error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            say(&text);
            ExitCode::FAILURE
        }
    }
}

/// One line per cause, outermost first.
fn report(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!("\n  because: {cause}"));
        next = cause.source();
    }
    text
}

/// Tells the person at the terminal.
#[expect(
    clippy::print_stderr,
    reason = "this program talks to a person; data goes to files"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
