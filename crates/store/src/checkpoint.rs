//! Checkpoints: what was committed goes from the log into the database (sqlite.org/wal.html).
//!
//! ```text
//!   commits ──► each so many ──► aside: most of the log, beside the writer ──► long? ──► in the writer's turn: the rest
//! ```
//!
//! SQLite would do it in the commit that makes the log long, and everybody behind that waits for the disk. So a connection
//! of its own does it while others go on writing. What they write meanwhile stays in the log, which only starts again from
//! its beginning once nothing is left in it; where it has grown long, the little that is left is done in a turn.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sql::{Connection, SqlError};

/// Commits between two.
const EVERY: u32 = 256;

/// Pages of a long log: 32 MiB.
const LONG: i64 = 8_192;

/// Pages at which a commit does it after all, should this here fail: 128 MiB.
pub(crate) const LONGEST: i64 = 32_768;

/// Where the log is emptied from.
pub(crate) struct Checkpoints {
    /// Nothing once the database is closed.
    connection: Mutex<Option<Connection>>,
    commits: AtomicU32,
}

impl Checkpoints {
    /// Opens the connection that does it.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub(crate) fn open(path: &Path, busy_timeout: Duration) -> Result<Self, SqlError> {
        Ok(Self {
            connection: Mutex::new(Some(Connection::open(path, busy_timeout)?)),
            commits: AtomicU32::new(0),
        })
    }

    /// Counts a commit, and says whether it is time.
    pub(crate) fn is_due(&self) -> bool {
        let before = self.commits.fetch_add(1, Ordering::Relaxed);
        before % EVERY == EVERY - 1
    }

    /// Empties most of the log, and says whether the rest is to be done in a turn. What fails now is done with the next.
    pub(crate) fn aside(&self) -> bool {
        let connection = self.connection();
        let Some(connection) = connection.as_ref() else {
            return false;
        };
        let is_long = connection.checkpoint().is_ok_and(|pages| pages > LONG);
        // What was written while that lasted is much; while this does, little.
        is_long && connection.checkpoint().is_ok()
    }

    pub(crate) fn close(&self) {
        self.connection().take();
    }

    /// A whole connection is put in and taken out, so a panic elsewhere leaves nothing half done.
    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
