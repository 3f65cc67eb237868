//! Opening: the file and its rights, the lock that keeps a second program out, the schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::readers::Readers;
use crate::sql::Connection;
use crate::turn::Turns;
use crate::{Read, StoreError, Write, migrate};

/// The memory of control; clones share it.
#[derive(Clone)]
pub struct Store {
    turns: Turns,
    readers: Readers,
    /// Held for as long as any clone lives.
    _lock: Arc<File>,
}

impl Store {
    /// Opens the database at `path`, making it (mode 0600) and bringing its schema up to date.
    ///
    /// # Errors
    /// The file cannot be made, is in use by another program, or was written by a newer one; or a change to the
    /// schema fails.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = prepare(path)?;
        let failed = StoreError::sql("open the database");
        let mut first = Connection::open(path).map_err(&failed)?;
        migrate::bring_up_to_date(&mut first, path).await?;
        let turns = Turns::open(first, path).map_err(&failed)?;
        let readers = Readers::open(path).map_err(failed)?;
        Ok(Self {
            turns,
            readers,
            _lock: Arc::new(lock),
        })
    }

    /// Begins to read one moment of the database.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn read(&self) -> Result<Read, StoreError> {
        let failed = StoreError::sql("begin to read");
        let mut reader = self.readers.take().await.map_err(&failed)?;
        reader.begin().map_err(failed)?;
        Ok(Read::new(reader))
    }

    /// For a single question, which needs no transaction around it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn glance(&self) -> Result<Read, StoreError> {
        let reader = self.readers.take().await;
        reader.map(Read::new).map_err(StoreError::sql("begin to read"))
    }

    /// Waits for its turn and begins to write, see [`crate::turn`]. What is read through it cannot change under it.
    ///
    /// # Errors
    /// The turn does not come in time, or the database cannot be written.
    pub async fn write(&self) -> Result<Write, StoreError> {
        Ok(Write::new(self.turns.take().await?))
    }

    /// Closes the database in order; a program that ends without it loses nothing either.
    pub async fn close(&self) {
        self.readers.close().await;
        self.turns.close().await;
    }
}

/// Makes the directory and the file, and locks a file beside it. The lock is the kernel's (`flock(2)`), so it ends
/// with the program that holds it, however that ends.
fn prepare(path: &Path) -> Result<File, StoreError> {
    let failed = |source: io::Error| StoreError::Prepare {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.map_err(failed)?;
    }
    private_file(path).map_err(failed)?;
    let lock = private_file(&lock_path(path)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens a file, made with mode 0600 where it is absent. SQLite gives its log files the mode of the database.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
