//! The run-time folder of a machine: what is known of it while and after it runs.
//!
//! ```text
//!   <run-time directory>/<VM id>/
//!       machine.json     the VMM's process, written before anybody relies on it
//!       started.json     there once a VMM that is told what to run has been told
//!       qmp.sock         its monitor, if it has one
//!       ctl.sock         the control channel, if it is not in a jail
//!       console.log      what the guest wrote; console.old holds what was cut off its head
//!       console.in       a FIFO: what people type on it
//!       root/            empty: what a confined VMM's root is mounted on, where only the VMM sees it
//!       vmm.log          what the VMM itself wrote
//!       wish.json        what the guest wanted, once it powered off or reset its machine
//!       ended.json       how the VMM ended
//! ```
//!
//! It lies on a tmpfs, so a reboot of the host empties it together with the processes it tells of.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use model::VmId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::Status;
use crate::{DriverError, Exit, GuestWish, SpecFault};

/// `sizeof(sun_path)` less its final zero (unix(7)).
const SOCKET_PATH_BYTES: usize = 107;

/// Which process a VMM is. A process id alone may have been given to another since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) pid: u32,
    /// In clock ticks since the host's boot (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
}

/// The folder of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) id: VmId,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(runtime_dir: &Path, id: VmId) -> Self {
        Self {
            id,
            path: runtime_dir.join(id.to_string()),
        }
    }

    /// A file of the adapter's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// The FIFO that a machine's console reads, if people can type on it.
    pub(crate) fn console_input(&self) -> PathBuf {
        self.path.join("console.in")
    }

    pub(crate) fn old_console(&self) -> PathBuf {
        self.path.join("console.old")
    }

    pub(crate) fn vmm_log(&self) -> PathBuf {
        self.path.join("vmm.log")
    }

    fn record_file(&self) -> PathBuf {
        self.path.join("machine.json")
    }

    fn started_file(&self) -> PathBuf {
        self.path.join("started.json")
    }

    fn ending_file(&self) -> PathBuf {
        self.path.join("ended.json")
    }

    fn wish_file(&self) -> PathBuf {
        self.path.join("wish.json")
    }

    /// Whether there is anything under its name.
    pub(crate) fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Refuses a directory so deep that this socket in it could not be reached.
    pub(crate) fn check_socket(&self, name: &str) -> Result<(), SpecFault> {
        let path = self.file(name);
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_BYTES {
            Err(SpecFault::SocketPath { path, length })
        } else {
            Ok(())
        }
    }

    /// An empty folder that only its owner can enter, in place of whatever was there.
    pub(crate) fn create(&self) -> Result<(), DriverError> {
        self.remove()?;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path);
        made.map_err(|source| self.failed("make the folder", &self.path, source))
    }

    /// An empty directory in it.
    pub(crate) fn make(&self, name: &str) -> Result<(), DriverError> {
        let path = self.file(name);
        fs::create_dir(&path).map_err(|source| self.failed("make the folder", &path, source))
    }

    /// Removes it, whatever it is.
    pub(crate) fn remove(&self) -> Result<(), DriverError> {
        let removed = match self.path.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&self.path),
            Ok(_) => fs::remove_file(&self.path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove the folder", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn write_record(&self, record: Record) -> Result<(), DriverError> {
        self.write(&self.record_file(), &record)
    }

    /// None if there is none, or none that can be read.
    pub(crate) fn record(&self) -> Option<Record> {
        read(&self.record_file())
    }

    /// Remembers that the VMM was told all it is to run.
    pub(crate) fn write_started(&self) -> Result<(), DriverError> {
        self.write(&self.started_file(), &true)
    }

    /// Whether that is remembered.
    pub(crate) fn is_started(&self) -> bool {
        self.started_file().exists()
    }

    /// Remembers that the guest went by itself, and what it wanted.
    pub(crate) fn write_wish(&self, wish: GuestWish) -> Result<(), DriverError> {
        self.write(&self.wish_file(), &wish)
    }

    /// Remembers how its process ended.
    pub(crate) fn write_ending(&self, exit: &Exit) -> Result<(), DriverError> {
        let status = Status {
            code: exit.status,
            signal: exit.signal,
        };
        self.write(&self.ending_file(), &status)
    }

    /// How its process ended, as far as that was written down.
    pub(crate) fn status(&self) -> Status {
        read(&self.ending_file()).unwrap_or_default()
    }

    /// What its guest wanted, if that was written down.
    pub(crate) fn wish(&self) -> Option<GuestWish> {
        read(&self.wish_file())
    }

    fn write(&self, file: &Path, value: &impl Serialize) -> Result<(), DriverError> {
        let written = serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|bytes| replace(file, &bytes));
        written.map_err(|source| self.failed("write", file, source))
    }

    #[expect(clippy::unused_self, reason = "reads as part of the folder's own operations")]
    fn failed(&self, operation: &'static str, path: &Path, source: io::Error) -> DriverError {
        DriverError::Folder {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Every folder of a run-time directory.
pub(crate) fn all(runtime_dir: &Path) -> Result<Vec<Folder>, DriverError> {
    let entries = match fs::read_dir(runtime_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(DriverError::Folder {
                operation: "search",
                path: runtime_dir.to_owned(),
                source,
            });
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter_map(|name| Some(Folder::new(runtime_dir, name.parse().ok()?)))
        .collect())
}

/// Replaces a file so that a reader finds the old or the new content, and a crash leaves one of them.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, file)?;
    match file.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}
