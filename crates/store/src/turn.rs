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
//! A statement that is handed to the connection's thread takes longer on its way than the database needs for most of them. So
//! what ends one change goes with what begins the next, and a commit releases by itself.
//!
//! What always holds:
//!
//! - A change is answered after the commit that holds it, never before.
//! - A change sees what those before it in the transaction wrote; where their commit fails, its own fails with it.
//! - A change that was dropped is undone before the next one begins.
//! - What goes on with the connection goes on in tasks of its own, so a caller that goes away breaks nothing off.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use crate::StoreError;

/// How long a caller waits for its turn at the one writer.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of a transaction; all who share it are told the same.
type Outcome = Result<(), Arc<sqlx::Error>>;

/// Where changes queue up; clones are the same place.
#[derive(Clone)]
pub(crate) struct Turns {
    /// Nothing once the database is closed.
    writer: Arc<Mutex<Option<Writer>>>,
    /// Where the tasks run.
    runtime: Handle,
}

/// The connection that writes, and the changes that share its transaction.
struct Writer {
    options: SqliteConnectOptions,
    connection: SqliteConnection,
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
    /// With a connection that is in no transaction, and the options for another in its place.
    pub(crate) fn open(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let writer = Writer {
            options,
            connection,
            state: State::Idle,
            newest: Newest::Dropped,
            ending: false,
            ready: Vec::new(),
        };
        Self {
            writer: Arc::new(Mutex::new(Some(writer))),
            runtime: Handle::current(),
        }
    }

    /// Waits for a turn and begins a change.
    ///
    /// # Errors
    /// The turn does not come in time, or the database cannot be written.
    pub(crate) async fn take(&self) -> Result<Turn, StoreError> {
        let failed = StoreError::sql("begin a change");
        let Ok(place) = timeout(TURN_TIMEOUT, self.writer.clone().lock_owned()).await else {
            return Err(failed(sqlx::Error::PoolTimedOut));
        };
        let Ok(mut writer) = OwnedMutexGuard::try_map(place, Option::as_mut) else {
            return Err(failed(sqlx::Error::PoolClosed));
        };
        let turns = self.clone();
        let begun = self.runtime.spawn(async move {
            writer.begin().await?;
            Ok(Turn {
                turns,
                writer,
                over: false,
            })
        });
        begun
            .await
            .unwrap_or_else(|_| Err(Arc::new(sqlx::Error::PoolClosed)))
            .map_err(|error| StoreError::shared("begin a change", error))
    }

    /// Ends what is under way and closes the database; nothing is written from now on.
    pub(crate) async fn close(&self) {
        if let Some(mut writer) = self.writer.lock().await.take() {
            writer.end().await;
            // What was committed is there, however this ends.
            drop(writer.connection.close().await);
        }
    }

    /// Lets a task queue up that ends the transaction, if none has.
    fn end_soon(&self, writer: &mut Writer) {
        if std::mem::replace(&mut writer.ending, true) {
            return;
        }
        let queued = self.writer.clone().lock_owned();
        self.runtime.spawn(async move {
            if let Some(writer) = queued.await.as_mut() {
                writer.end().await;
            }
        });
    }
}

impl Turn {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
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
            Err(_) => Err(StoreError::sql("commit a change")(sqlx::Error::PoolClosed)),
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
    async fn begin(&mut self) -> Outcome {
        if self.state == State::Lost {
            // The one before is closed, which undoes whatever it was in the middle of.
            self.connection = self.options.connect().await.map_err(Arc::new)?;
            self.state = State::Idle;
        }
        let first = match (self.state, self.newest) {
            // Takes the write lock at once, so what is read through the transaction cannot change under it.
            (State::Idle | State::Lost, _) => "BEGIN IMMEDIATE; SAVEPOINT change",
            (State::Open, Newest::Ready) => "RELEASE change; SAVEPOINT change",
            // Which leaves the savepoint where it is.
            (State::Open, Newest::Dropped) => "ROLLBACK TO change",
        };
        match self.run(first).await {
            Ok(()) => {
                self.state = State::Open;
                Ok(())
            }
            Err(error) => Err(self.lose(error)),
        }
    }

    /// Ends the transaction: those who are ready learn what became of it.
    async fn end(&mut self) {
        self.ending = false;
        if self.state != State::Open {
            return;
        }
        let last = match self.newest {
            _ if self.ready.is_empty() => "ROLLBACK",
            Newest::Ready => "COMMIT",
            Newest::Dropped => "ROLLBACK TO change; COMMIT",
        };
        match self.run(last).await {
            Ok(()) => {
                self.state = State::Idle;
                self.tell(&Ok(()));
            }
            Err(error) => {
                self.lose(error);
            }
        }
    }

    /// The transaction is no more, and nothing of it was kept: the disk was full, say.
    fn lose(&mut self, error: sqlx::Error) -> Arc<sqlx::Error> {
        self.state = State::Lost;
        let error = Arc::new(error);
        self.tell(&Err(error.clone()));
        error
    }

    fn tell(&mut self, outcome: &Outcome) {
        for ready in self.ready.drain(..) {
            // Whoever does not wait any more need not know.
            drop(ready.send(outcome.clone()));
        }
    }

    async fn run(&mut self, statements: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statements).execute(&mut self.connection).await?;
        Ok(())
    }
}
