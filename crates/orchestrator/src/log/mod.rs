//! The log of a VM's service, in files of its folder.
//!
//! ```text
//!   vms/ID/log/00000007 … 00000009     a few files of a bounded size; the oldest goes when a new one begins
//!
//!   file:    Continues record, then records          (the very first file has no Continues)
//!   record:  length u32 LE │ crc32c of payload u32 LE │ payload
//!   payload: kind u8 │ unix_ns u64 LE │ offset u64 LE │ bytes
//!              0 stdout, 1 stderr     what was printed, at this offset of this boot's log
//!              2 boot                 a boot begins; the bytes are its boot_id
//!              3 continues            as 2, for a boot that began in an earlier file; the offset is where it goes on
//! ```
//!
//! The guest numbers the bytes of each boot. What is written is what it sent, so a part is held as soon as write(2) has
//! returned: the kernel keeps it when this program is killed, and a crash of the whole machine ends the guest too.
//! Lines are cut when the log is read.
//!
//! What always holds:
//!
//! - What is held is never written twice: a part that is said again, by a guest that did not hear of it, is cut to what
//!   is new. A part that begins later than the last one ended shows by its offset what was lost between.
//! - A record that was cut by a kill is dropped when the log is opened, and so was never held.
//! - The files together take no more than their limits, whatever the guest sends. A reader that is overtaken by that
//!   sees a gap.
//! - Readers take no lock and no writer waits for one.

mod lines;
mod reader;
mod record;
mod serve;
#[cfg(test)]
mod tests;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

pub(crate) use serve::serve;
pub(crate) use writer::LogFiles;

/// How much of a VM's log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// How many files, at least one.
    pub files: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            file_bytes: 10 << 20,
            files: 3,
        }
    }
}

/// A VM's log, for as long as the host has the VM. Dropping it ends its followers.
#[derive(Debug)]
pub(crate) struct VmLog {
    folder: PathBuf,
    limits: LogLimits,
    grown: watch::Sender<()>,
}

impl VmLog {
    /// The log in this folder, which is made when something is written.
    pub(crate) fn new(folder: PathBuf, limits: LogLimits) -> Self {
        Self {
            folder,
            limits,
            grown: watch::Sender::new(()),
        }
    }

    /// What a reader needs.
    pub(crate) fn source(&self) -> LogSource {
        LogSource {
            folder: self.folder.clone(),
            grown: self.grown.subscribe(),
        }
    }
}

/// A way to read a log.
#[derive(Debug, Clone)]
pub(crate) struct LogSource {
    folder: PathBuf,
    /// Changes with each write, and is closed when the VM is gone.
    grown: watch::Receiver<()>,
}

/// The numbers of the log's files, oldest first.
fn sequences(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut sequences = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        sequences.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    sequences.sort_unstable();
    Ok(sequences)
}

fn file_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:08}"))
}
