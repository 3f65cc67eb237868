//! The one writer: changes take turns in one transaction, and one sync makes all of them last.
//!
//! ```text
//!   write() ─► BEGIN; SAVEPOINT ─► statements ─► commit() ─┐
//!              write() ─► RELEASE; SAVEPOINT ─► … ─► commit() ─┤
//!                         dropped: ROLLBACK TO                 └─► COMMIT ─► both are answered
//! ```
//!
//! A sync takes as long as many statements. So the first change that is ready lets a task queue up that commits: behind the
//! changes that wait for their turn already, which join the transaction, and before those that come later. A change
//! that is alone is committed at once; the more there are, the more share a sync. The queue is fair, so none waits for
//! more than those before it.
//!
//! What always holds:
//!
//! - A change is answered after the commit that holds it, never before.
//! - A change sees what those before it in the transaction wrote; where their commit fails, its own fails with it.
//! - A change that was dropped is undone before the next one begins.
//! - Only the task that commits waits for the disk, so a caller that goes away breaks nothing off.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use crate::StoreError;
use crate::checkpoint::{self, Checkpoints};
use crate::sql::{Connection, SqlError, elsewhere};

/// How long a caller waits for its turn at the one writer.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of a transaction; all who share it are told the same.
type Outcome = Result<(), Arc<SqlError>>;

/// Where changes queue up; clones are the same place.
#[derive(Clone)]
pub(crate) struct Turns {
    /// Nothing once the database is closed.
    writer: Arc<Mutex<Option<Writer>>>,
    checkpoints: Arc<Checkpoints>,
    /// Where the tasks run.
    runtime: Handle,
}

/// The connection that writes, and the changes that share its transaction.
struct Writer {
    connection: Connection,
    /// Where another in its place is opened.
    path: PathBuf,
    state: State,
    newest: Newest,
    /// A task is in the queue that ends the transaction.
    ending: bool,
    /// Those whose changes are ready.
    ready: Vec<oneshot::Sender<Outcome>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no transaction.
    Idle,
    /// There is one.
    Open,
    /// Nobody knows what the connection is in the middle of; another takes its place before it is used.
    Lost,
}

/// The newest change of a transaction, whose savepoint is there still once its turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// It is to be committed.
    Ready,
    /// It is to be undone.
    Dropped,
}

/// A change's turn. Dropped without [`Turn::commit`] it leaves nothing.
pub(crate) struct Turn {
    turns: Turns,
    writer: OwnedMappedMutexGuard<Option<Writer>, Writer>,
    /// Its change is ready, and no more its own.
    over: bool,
}

impl Turns {
    /// With a connection that is in no transaction, and what another in its place needs.
    ///
    /// # Errors
    /// The database cannot be opened once more.
    pub(crate) fn open(connection: Connection, path: &Path) -> Result<Self, SqlError> {
        checkpoint::set(&connection)?;
        let writer = Writer {
            connection,
            path: path.to_owned(),
            state: State::Idle,
            newest: Newest::Dropped,
            ending: false,
            ready: Vec::new(),
        };
        Ok(Self {
            writer: Arc::new(Mutex::new(Some(writer))),
            checkpoints: Arc::new(Checkpoints::open(path)?),
            runtime: Handle::current(),
        })
    }

    /// Waits for a turn and begins a change.
    ///
    /// # Errors
    /// The turn does not come in time, or the database cannot be written.
    pub(crate) async fn take(&self) -> Result<Turn, StoreError> {
        let failed = StoreError::sql("begin a change");
        let Ok(place) = timeout(TURN_TIMEOUT, self.writer.clone().lock_owned()).await else {
            return Err(failed(SqlError::Late));
        };
        let Ok(mut writer) = OwnedMutexGuard::try_map(place, Option::as_mut) else {
            return Err(failed(SqlError::Closed));
        };
        writer.begin().map_err(failed)?;
        Ok(Turn {
            turns: self.clone(),
            writer,
            over: false,
        })
    }

    /// Ends what is under way and closes the database; nothing is written from now on.
    pub(crate) async fn close(&self) {
        elsewhere(|| self.checkpoints.close());
        if let Some(mut writer) = self.writer.lock().await.take() {
            elsewhere(|| {
                writer.end();
                drop(writer);
            });
        }
    }

    /// Lets a task queue up that ends the transaction, if none has.
    fn end_soon(&self, writer: &mut Writer) {
        if std::mem::replace(&mut writer.ending, true) {
            return;
        }
        let queued = self.writer.clone().lock_owned();
        let turns = self.clone();
        self.runtime.spawn(async move {
            if let Some(writer) = queued.await.as_mut() {
                elsewhere(|| writer.end());
            }
            if turns.checkpoints.is_due() {
                turns.checkpoint().await;
            }
        });
    }

    /// Empties the log.
    async fn checkpoint(&self) {
        if elsewhere(|| self.checkpoints.aside())
            && let Some(writer) = self.writer.lock().await.as_mut()
        {
            // What fails now is done with the next.
            let _ = elsewhere(|| writer.connection.checkpoint());
        }
    }
}

impl Turn {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.writer.connection
    }

    /// Makes everything that was written in this turn last.
    ///
    /// # Errors
    /// Nothing was kept.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let (ready, ended) = oneshot::channel();
        self.over = true;
        self.writer.newest = Newest::Ready;
        self.writer.ready.push(ready);
        self.turns.end_soon(&mut self.writer);
        drop(self);
        match ended.await {
            Ok(outcome) => outcome.map_err(|error| StoreError::shared("commit a change", error)),
            // The program ends.
            Err(_) => Err(StoreError::sql("commit a change")(SqlError::Closed)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.writer.newest = Newest::Dropped;
            self.turns.end_soon(&mut self.writer);
        }
    }
}

impl Writer {
    /// Begins a change, in the transaction that there is or in a new one.
    fn begin(&mut self) -> Result<(), SqlError> {
        if self.state == State::Open {
            let next = match self.newest {
                Newest::Ready => "RELEASE change; SAVEPOINT change",
                // Which leaves the savepoint where it is.
                Newest::Dropped => "ROLLBACK TO change",
            };
            match self.connection.run(next) {
                Ok(()) => return Ok(()),
                // SQLite gave the transaction up when the change before met its error. This one has no part in that.
                Err(error) => self.lose(error),
            }
        }
        if self.state == State::Lost {
            // The one before is closed, which undoes whatever it was in the middle of.
            self.connection = self.another()?;
            self.state = State::Idle;
        }
        // Takes the write lock at once, so what is read through the transaction cannot change under it.
        let begun = self.connection.run_when_free("BEGIN IMMEDIATE; SAVEPOINT change");
        self.state = if begun.is_ok() { State::Open } else { State::Lost };
        begun
    }

    fn another(&self) -> Result<Connection, SqlError> {
        let connection = Connection::open(&self.path)?;
        checkpoint::set(&connection)?;
        Ok(connection)
    }

    /// Ends the transaction: those who are ready learn what became of it.
    fn end(&mut self) {
        self.ending = false;
        if self.state != State::Open {
            return;
        }
        let last = match self.newest {
            _ if self.ready.is_empty() => "ROLLBACK",
            Newest::Ready => "COMMIT",
            Newest::Dropped => "ROLLBACK TO change; COMMIT",
        };
        match self.connection.run(last) {
            Ok(()) => {
                self.state = State::Idle;
                self.tell(&Ok(()));
            }
            Err(error) => self.lose(error),
        }
    }

    /// The transaction is no more, and nothing of it was kept: the disk was full, say.
    fn lose(&mut self, error: SqlError) {
        self.state = State::Lost;
        self.tell(&Err(Arc::new(error)));
    }

    fn tell(&mut self, outcome: &Outcome) {
        for ready in self.ready.drain(..) {
            // Whoever does not wait any more need not know.
            drop(ready.send(outcome.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Turns) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        (directory, Turns::open(connection, &path).unwrap())
    }

    /// Queues up for a turn.
    async fn queued(turns: &Turns) -> tokio::task::JoinHandle<Result<Turn, StoreError>> {
        let turns = turns.clone();
        let taking = tokio::spawn(async move { turns.take().await });
        tokio::task::yield_now().await;
        taking
    }

    #[tokio::test]
    async fn who_comes_next_has_no_part_in_a_transaction_that_was_given_up() {
        let (_directory, turns) = open();
        let first = turns.take().await.unwrap();
        let (second, third) = (queued(&turns).await, queued(&turns).await);
        let ready = tokio::spawn(first.commit());
        let mut second = second.await.unwrap().unwrap();
        // As SQLite does where the disk is full.
        second.connection().run("ROLLBACK").unwrap();
        drop(second);
        third.await.unwrap().unwrap().commit().await.unwrap();
        assert!(
            ready.await.unwrap().is_err(),
            "its change is gone with the transaction"
        );
    }
}
