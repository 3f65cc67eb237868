//! Opening: the file and its rights, the lock that keeps a second program out, the schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

use crate::turn::Turns;
use crate::{Read, StoreError, Write, migrate};

/// How long a statement waits for a lock that somebody outside (a backup tool, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a caller waits for a reader.
const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// Readers at once. Each costs about 2 MB of page cache when used; fewer make lists wait behind each other.
const READERS: u32 = 4;

/// The memory of control; clones share it.
#[derive(Clone)]
pub struct Store {
    turns: Turns,
    readers: SqlitePool,
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
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let mut first = options
            .connect()
            .await
            .map_err(StoreError::sql("open the database"))?;
        migrate::bring_up_to_date(&mut first, path).await?;
        let turns = Turns::open(first, options.clone());
        let readers = readers()
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(StoreError::sql("open the database for reading"))?;
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
        let begun = self.readers.begin().await;
        begun.map(Read::new).map_err(StoreError::sql("begin to read"))
    }

    /// For a single question, which needs no transaction around it: that would be three statements for one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn glance(&self) -> Result<Read, StoreError> {
        let reader = self.readers.acquire().await;
        reader.map(Read::glance).map_err(StoreError::sql("begin to read"))
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

fn readers() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        // All at once: one that is opened for somebody who goes away meanwhile would outlive the pool.
        .min_connections(READERS)
        .max_connections(READERS)
        .acquire_timeout(READER_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
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
