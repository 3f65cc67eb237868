//! The one writer: changes take turns in one transaction, and one sync makes all of them last.
//!
//! ```text
//!   write() ─► SAVEPOINT ─► statements ─► commit(): RELEASE ─┐
//!              write() ─► SAVEPOINT ─► … ─► commit(): RELEASE ─┤
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
    /// The newest change was dropped; its savepoint is there still.
    dropped: bool,
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

/// A change's turn. Dropped without [`Turn::commit`] it leaves nothing.
pub(crate) struct Turn {
    turns: Turns,
    writer: OwnedMappedMutexGuard<Option<Writer>, Writer>,
    released: bool,
}

impl Turns {
    /// With a connection that is in no transaction, and the options for another in its place.
    pub(crate) fn open(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let writer = Writer {
            options,
            connection,
            state: State::Idle,
            dropped: false,
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
                released: false,
            })
        });
        begun
            .await
            .unwrap_or(Err(sqlx::Error::PoolClosed))
            .map_err(failed)
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
        let runtime = self.turns.runtime.clone();
        runtime.spawn(async move {
            self.released = true;
            self.writer.release(ready).await;
            self.turns.end_soon(&mut self.writer);
        });
        match ended.await {
            Ok(outcome) => outcome.map_err(|error| StoreError::shared("commit a change", error)),
            // The program ends.
            Err(_) => Err(StoreError::sql("commit a change")(sqlx::Error::PoolClosed)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.released {
            self.writer.dropped = true;
            self.turns.end_soon(&mut self.writer);
        }
    }
}

impl Writer {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.undo_dropped().await;
        if self.state == State::Lost {
            // The one before is closed, which undoes whatever it was in the middle of.
            self.connection = self.options.connect().await?;
            self.state = State::Idle;
        }
        if self.state == State::Idle {
            // Takes the write lock at once, so what is read through the transaction cannot change under it.
            self.run("BEGIN IMMEDIATE").await?;
            self.state = State::Open;
        }
        let begun = self.run("SAVEPOINT change").await;
        begun.inspect_err(|_| self.state = State::Lost)
    }

    /// Counts the newest change to the transaction.
    async fn release(&mut self, ready: oneshot::Sender<Outcome>) {
        self.ready.push(ready);
        if self.state == State::Open
            && let Err(error) = self.run("RELEASE change").await
        {
            self.lose(error);
        }
    }

    /// Undoes the newest change, if it was dropped.
    async fn undo_dropped(&mut self) {
        if std::mem::take(&mut self.dropped)
            && self.state == State::Open
            && let Err(error) = self.run("ROLLBACK TO change").await
        {
            self.lose(error);
        }
    }

    /// Ends the transaction: those who are ready learn what became of it.
    async fn end(&mut self) {
        self.ending = false;
        self.undo_dropped().await;
        if self.state != State::Open {
            return;
        }
        let last = if self.ready.is_empty() {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        match self.run(last).await {
            Ok(()) => {
                self.state = State::Idle;
                self.tell(&Ok(()));
            }
            Err(error) => self.lose(error),
        }
    }

    /// The transaction is no more, and nothing of it was kept: the disk was full, say.
    fn lose(&mut self, error: sqlx::Error) {
        self.state = State::Lost;
        self.tell(&Err(Arc::new(error)));
    }

    fn tell(&mut self, outcome: &Outcome) {
        for ready in self.ready.drain(..) {
            // Whoever does not wait any more need not know.
            drop(ready.send(outcome.clone()));
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut self.connection).await?;
        Ok(())
    }
}
