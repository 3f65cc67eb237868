//! Files that survive a crash at any moment: written beside, synced, renamed, and the directory synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file of the host's memory that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Writing failed; the old content is still there.
    #[error("failed to write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("failed to read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is not what this program writes.
    #[error("{path} is damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where it stops making sense.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Removing failed.
    #[error("failed to remove {path}")]
    Remove {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    /// Whether the disk has no room, which is the one cause that people mend elsewhere.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Write { source, .. } => is_disk_full(source),
            Self::Read { .. } | Self::Damaged { .. } | Self::Remove { .. } => false,
        }
    }
}

/// Whether an error says that no room is left.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Replaces `path` by `bytes`, readable by its owner only.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_parent(path)
    };
    write().map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Replaces `path` by a value.
pub(crate) fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| FileError::Write {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    replace(path, &bytes)
}

/// The content of a file, or `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A value that [`replace_json`] wrote, or `None` where there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| FileError::Damaged {
            path: path.to_owned(),
            source: error.into(),
        })
}

/// Makes a directory with its parents, for its owner only.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FileError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Removes a directory with all in it; one that is not there is removed already.
pub(crate) fn remove_directory(path: &Path) -> Result<(), FileError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => sync_parent(path).map_err(|source| FileError::Remove {
            path: path.to_owned(),
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::Remove {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes a rename, a creation or a removal in the parent directory of `path` last.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_garbage_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        assert_eq!(read_json::<u64>(&path).unwrap(), None);
        replace_json(&path, &7u64).unwrap();
        assert_eq!(read_json::<u64>(&path).unwrap(), Some(7));
        fs::write(&path, "{").unwrap();
        assert!(matches!(read_json::<u64>(&path), Err(FileError::Damaged { .. })));
    }

    #[test]
    fn removing_is_idempotent_and_takes_files_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm");
        remove_directory(&path).unwrap();
        fs::write(&path, "a file where a folder should be").unwrap();
        remove_directory(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("f"), "").unwrap();
        remove_directory(&path).unwrap();
        assert!(!path.exists());
    }
}
