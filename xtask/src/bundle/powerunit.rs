//! powerunit, built as one static program that needs nothing from any image.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;

/// An explicit target keeps the flags below off build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// A fixed address saves the relocations of a position-independent program.
const FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// Builds it, or finds it built, and returns where it is.
pub(super) fn build(target: &Path) -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "powerunit", "--bin", "powerunit"]);
    command
        .args(["--profile", "powerunit", "--target", TARGET, "--target-dir"])
        .arg(target);
    command
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = command.status().map_err(|source| Error::Start {
        program: "cargo",
        package: "rustup",
        source,
    })?;
    match status.success() {
        true => Ok(target.join(TARGET).join("powerunit").join("powerunit")),
        false => Err(Error::Failed {
            program: "cargo",
            status,
            said: "powerunit does not build; see above".into(),
        }),
    }
}
