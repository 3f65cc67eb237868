//! Those who read: a few connections, each in the hands of one task at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::sql::{Connection, SqlError};

/// How long a caller waits for a reader.
const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// Readers at once. Fewer make lists wait behind each other.
const READERS: u32 = 4;

/// Pages that each keeps in memory, in KiB: less than the one that writes, since there are several and the kernel has them
/// in its own memory anyway.
const PAGES_KIB: i64 = 2 << 10;

/// The readers; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Readers {
    /// Nothing in any of them once the database is closed.
    readers: Arc<[Arc<Mutex<Option<Connection>>>]>,
    /// As many as there are readers that nobody uses.
    free: Arc<Semaphore>,
}

/// A reader in use. Dropped, its moment is over, and it is free again.
pub(crate) struct Reader {
    connection: OwnedMappedMutexGuard<Option<Connection>, Connection>,
    /// Behind the connection, which is let go first.
    _free: OwnedSemaphorePermit,
}

impl Readers {
    /// Opens them all.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, SqlError> {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let reader = Connection::open(path)?;
            reader.set("query_only", 1)?;
            reader.set("cache_size", -PAGES_KIB)?;
            readers.push(Arc::new(Mutex::new(Some(reader))));
        }
        Ok(Self {
            readers: readers.into(),
            free: Arc::new(Semaphore::new(READERS as usize)),
        })
    }

    /// Waits for a reader.
    ///
    /// # Errors
    /// None comes free in time, or the database is closed.
    pub(crate) async fn take(&self) -> Result<Reader, SqlError> {
        let free = timeout(READER_TIMEOUT, self.free.clone().acquire_owned()).await;
        let free = free.map_err(|_| SqlError::Late)?.map_err(|_| SqlError::Closed)?;
        let mut readers = self.readers.iter();
        let reader = readers.find_map(|reader| reader.clone().try_lock_owned().ok());
        // Who has a permit finds a reader, but where they are closed meanwhile.
        let reader = reader.ok_or(SqlError::Closed)?;
        let connection = OwnedMutexGuard::try_map(reader, Option::as_mut).map_err(|_| SqlError::Closed)?;
        Ok(Reader {
            connection,
            _free: free,
        })
    }

    /// Waits until nobody reads, and closes them all.
    pub(crate) async fn close(&self) {
        let all = self.free.acquire_many(READERS).await;
        self.free.close();
        for reader in self.readers.iter() {
            reader.lock().await.take();
        }
        drop(all);
    }
}

impl Reader {
    /// Begins a moment: from its first question on, all are answered as of the same one.
    ///
    /// # Errors
    /// The database refuses.
    pub(crate) fn begin(&mut self) -> Result<(), SqlError> {
        if self.connection.is_in_transaction() {
            self.connection.run("ROLLBACK")?;
        }
        self.connection.run("BEGIN")
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.connection.is_in_transaction() {
            // Where that fails, it is tried again before the next begins.
            let _ = self.connection.run("ROLLBACK");
        }
    }
}
