//! Files and programs: small helpers that keep errors precise.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::Error;

/// A file of the bundle, as its description names it.
#[derive(Serialize, Deserialize)]
pub(super) struct Described {
    file: String,
    bytes: u64,
    sha256: String,
}

impl Described {
    pub(super) fn new(file: &str, content: &[u8]) -> Self {
        Self {
            file: file.to_owned(),
            bytes: content.len() as u64,
            sha256: sha256_hex(content),
        }
    }

    pub(super) fn has_its_size(&self, folder: &Path) -> bool {
        std::fs::metadata(folder.join(&self.file)).is_ok_and(|meta| meta.len() == self.bytes)
    }
}

pub(super) fn sha256_hex(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(Error::read(path))
}

/// Writes a file beside its place and renames it there: no reader meets half of it.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&beside, content).map_err(Error::write(&beside))?;
    std::fs::rename(&beside, path).map_err(Error::write(path))
}

/// The same with another name of a file that is there already.
pub(super) fn link_whole(path: &Path, existing: &Path) -> Result<(), Error> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::hard_link(existing, &beside).map_err(Error::write(&beside))?;
    // A rename between two names of one file does nothing at all (rename(2)).
    std::fs::rename(&beside, path).map_err(Error::write(path))?;
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::write(&beside)(error)),
        _ => Ok(()),
    }
}

/// Runs a program of a Debian package to its end and returns what it wrote to standard output.
pub(super) fn run(
    program: &'static str,
    package: &'static str,
    command: &mut Command,
) -> Result<String, Error> {
    let output = command.output().map_err(|source| Error::Start {
        program,
        package,
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed {
        program,
        status: output.status,
        said,
    })
}
