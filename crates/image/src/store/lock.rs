//! Locks by name, as files that exist only while somebody holds or wants them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Keeps the lock; closed after the file has lost its name.
    _file: File,
}

impl Lock {
    /// Takes a lock, or says `None` if somebody has it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let Some(file) = try_flock(path, true)? else {
                return Ok(None);
            };
            // Its last holder may have removed it between opening and locking; then it protects nothing.
            if is_at(&file, path)? {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    _file: file,
                }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a lock's file stays behind");
        }
    }
}

/// Opens a file and locks it, alone or shared; `None` if somebody holds it otherwise.
pub(super) fn try_flock(path: &Path, alone: bool) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let locked = if alone {
        file.try_lock()
    } else {
        file.try_lock_shared()
    };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an open file is still the one with this name.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
