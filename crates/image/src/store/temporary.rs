//! Directories for work in progress. Each is locked by its maker, so that a sweep knows the abandoned ones.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::is_at;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory that is removed with this value, whatever is in it then.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    /// Keeps the lock; closed after the directory is gone.
    _lock: File,
}

impl Temporary {
    /// Makes one.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            // A sweep may come between making and locking; then the directory is gone, and another is made.
            if let Some(lock) = lock(&path)?
                && is_at(&lock, &path)?
            {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "work in progress stays behind for the next sweep");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Removes those whose makers are gone.
pub(super) fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if let Some(_lock) = lock(&path)? {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Locks a directory; `None` if somebody else did, or it is gone.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
