//! Opening: the file and its rights, the lock that keeps a second program out, the schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::{Read, StoreError, Write, migrate};

/// How long a statement waits for a lock that somebody outside (a backup tool, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a caller waits for its turn at the one writer.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Readers at once. Each costs about 2 MB of page cache when used; fewer make lists wait behind each other.
const READERS: u32 = 4;

/// The memory of control; clones share it.
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held for as long as any clone lives.
    _lock: Arc<File>,
}

/// Takes the write lock at once, so what is read through the transaction cannot change under it.
const BEGIN: &str = "BEGIN IMMEDIATE";

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
        let writer = pool(1).connect_with(options.clone()).await;
        let writer = writer.map_err(StoreError::sql("open the database"))?;
        migrate::bring_up_to_date(&writer, path).await?;
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(StoreError::sql("open the database for reading"))?;
        Ok(Self {
            writer,
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

    /// Waits for its turn and begins to write. The lock is taken at once, so what is read through it cannot change
    /// under it.
    ///
    /// # Errors
    /// The turn does not come in time.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let begun = match self.writer.begin_with(BEGIN).await {
            // A commit that met a full disk leaves its connection believing that it is still in its transaction.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.renew_writer().await?;
                self.writer.begin_with(BEGIN).await
            }
            begun => begun,
        };
        begun.map(Write::new).map_err(StoreError::sql("begin a change"))
    }

    /// Puts a new connection in the writer's place.
    async fn renew_writer(&self) -> Result<(), StoreError> {
        let connection = self
            .writer
            .acquire()
            .await
            .map_err(StoreError::sql("begin a change"))?;
        // The pool opens another for whoever comes next.
        drop(connection.detach());
        Ok(())
    }

    /// Closes the database in order; a program that ends without it loses nothing either.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN_TIMEOUT)
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
