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
use std::sync::{Mutex, PoisonError};

use crate::sql::{Connection, SqlError};

/// Commits between two.
const EVERY: u32 = 256;

/// Pages of a long log: 32 MiB.
const LONG: i64 = 8_192;

/// Pages at which a commit does it after all, should this here fail: 128 MiB.
const LONGEST: i64 = 32_768;

/// Bytes of the log's file that are kept for what comes next, as many as a long log has; what it had beyond that goes back
/// to the disk.
const KEPT_BYTES: i64 = 32 << 20;

/// Leaves emptying the log of the connection that writes to this room.
///
/// # Errors
/// The database refuses.
pub(crate) fn set(writer: &Connection) -> Result<(), SqlError> {
    writer.set("wal_autocheckpoint", LONGEST)?;
    writer.set("journal_size_limit", KEPT_BYTES)
}

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
    pub(crate) fn open(path: &Path) -> Result<Self, SqlError> {
        Ok(Self {
            connection: Mutex::new(Some(Connection::open(path)?)),
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
        // One is enough at a time; the next comes soon.
        let Ok(connection) = self.connection.try_lock() else {
            return false;
        };
        let Some(connection) = connection.as_ref() else {
            return false;
        };
        let is_long = connection.checkpoint().is_ok_and(|pages| pages > LONG);
        // What was written while that lasted is much; while this does, little.
        is_long && connection.checkpoint().is_ok()
    }

    /// Waits for one that is under way, and closes the connection.
    pub(crate) fn close(&self) {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::query;

    use super::*;

    #[tokio::test]
    async fn the_log_is_emptied_beside_the_one_who_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .run("CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('a')")
            .unwrap();
        // What is in the file itself, without its log.
        let in_file = || async {
            let address = format!("file:{}?immutable=1", path.display());
            let mut reader = Connection::open_read_only(&address).unwrap();
            let rows = query("SELECT name FROM things").fetch_all(&mut reader).await;
            rows.map_or(0, |rows| rows.len())
        };
        assert_eq!(in_file().await, 0);
        let checkpoints = Checkpoints::open(&path).unwrap();
        writer
            .run("BEGIN IMMEDIATE; INSERT INTO things VALUES ('b')")
            .unwrap();
        assert!(!checkpoints.aside(), "a short log needs no turn");
        assert_eq!(in_file().await, 1, "what is committed, and not what is under way");
        writer.run("COMMIT").unwrap();
        checkpoints.close();
        assert!(!checkpoints.aside(), "nothing is left to do it with");
    }

    #[test]
    fn a_log_that_was_long_goes_back_to_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let log = || i64::try_from(std::fs::metadata(path.with_extension("db-wal")).unwrap().len()).unwrap();
        let writer = Connection::open(&path).unwrap();
        set(&writer).unwrap();
        let much = "CREATE TABLE things (bytes BLOB); INSERT INTO things VALUES (zeroblob(40 << 20))";
        writer.run(much).unwrap();
        assert!(log() > KEPT_BYTES, "{} bytes", log());
        let checkpoints = Checkpoints::open(&path).unwrap();
        checkpoints.aside();
        writer.run("INSERT INTO things VALUES (zeroblob(1))").unwrap();
        assert!(log() <= KEPT_BYTES, "{} bytes", log());
    }

    #[test]
    fn it_is_due_each_so_many_commits() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(&directory.path().join("a.db")).unwrap();
        let due = (0..2 * EVERY).filter(|_| checkpoints.is_due()).count();
        assert_eq!(due, 2);
    }
}
