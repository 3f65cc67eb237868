//! Who did what. What changes something is written with its change ([`crate::change`]); here is the rest: what was
//! refused, and what was opened (programs, consoles, files), which is no change.
//!
//! Those entries are collected and written outside of the requests, a batch at a time, so that a refused request costs no
//! commit. An orderly end writes what is left; a crash may lose the last second of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use model::{ProblemCode, UserId};
use store::{AuditEntry, AuditFilter, NewAuditEntry, Record};
use tokio::time::{MissedTickBehavior, interval};

use crate::change::to_its_end;
use crate::page::Paging;
use crate::{Actor, Caller, Control, Error, Operation, Page, PageRequest, chain};

/// How long an entry may wait to be written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// Entries that may wait. The rates keep a flood of refusals far below it; beyond it the oldest are dropped and counted.
const WAITING: usize = 10_000;

/// How an entry calls what was done.
pub(crate) const DONE: &str = "ok";

/// Entries that wait to be written.
#[derive(Default)]
pub(crate) struct Ledger {
    waiting: Mutex<Vec<NewAuditEntry>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
}

impl Ledger {
    fn add(&self, entry: NewAuditEntry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            waiting.remove(0);
            tracing::error!("too many audit entries wait to be written; the oldest is lost");
        }
        waiting.push(entry);
    }

    fn take(&self) -> Vec<NewAuditEntry> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be written, before what came since.
    fn put_back(&self, mut entries: Vec<NewAuditEntry>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        entries.append(&mut waiting);
        *waiting = entries;
    }
}

/// An entry of something that somebody asked for.
pub(crate) fn entry_of(actor: Actor, operation: Operation, at: Timestamp) -> NewAuditEntry {
    NewAuditEntry {
        at,
        user: Some((actor.user, actor.name)),
        token: Some(actor.token),
        address: actor.address,
        request: actor.request,
        operation: operation.as_str(),
        target: None,
        outcome: DONE,
    }
}

impl Control {
    /// Says that somebody was refused something. `target` is what was named, an id or a name.
    pub fn audit_refused(
        &self,
        actor: Actor,
        operation: Operation,
        target: Option<String>,
        code: ProblemCode,
    ) {
        self.inner.ledger.add(NewAuditEntry {
            target,
            outcome: code.as_str(),
            ..entry_of(actor, operation, self.now())
        });
    }

    /// Says that somebody opened something, or could not for a reason that is none of theirs.
    pub(crate) fn audit_opened(
        &self,
        caller: &Caller,
        operation: Operation,
        target: &impl ToString,
        outcome: Result<(), ProblemCode>,
    ) {
        self.inner.ledger.add(NewAuditEntry {
            target: Some(target.to_string()),
            outcome: outcome.map_or_else(ProblemCode::as_str, |()| DONE),
            ..entry_of(caller.actor(), operation, self.now())
        });
    }

    /// The entries, newest first: all of them for an admin, their own for anybody else.
    ///
    /// # Errors
    /// The memory cannot be read, or the cursor is none.
    pub async fn audit_list(
        &self,
        caller: &Caller,
        mut filter: AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, Error> {
        caller.may_ask_for(Operation::AuditList)?;
        if !caller.is_admin() {
            filter.user = Some(own(caller, filter.user));
        }
        let (paging, behind) = Paging::of::<u64>(caller, Operation::AuditList, &filter.identity(), page)?;
        self.ledger_write().await?;
        let mut read = self.inner.store.read().await?;
        let entries = read.audit_list(&filter, behind, paging.rows()).await?;
        paging.page(entries, |entry| entry.sequence)
    }

    /// Writes what waits, again and again.
    pub(crate) async fn keep_ledger(&self) {
        let mut ticks = interval(WRITTEN_WITHIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.ledger_write().await {
                tracing::error!(
                    error = chain(&error),
                    "audit entries could not be written; they are tried again"
                );
            }
        }
    }

    /// Writes what waits, all that was added before this call. What cannot be written waits on; a caller that goes away
    /// meanwhile stops nothing.
    pub(crate) async fn ledger_write(&self) -> Result<(), Error> {
        let control = self.clone();
        to_its_end(async move { control.ledger_write_here().await }).await
    }

    async fn ledger_write_here(&self) -> Result<(), Error> {
        // One at a time: who finds nothing waiting can rely on it being written.
        let _turn = self.inner.ledger.turn.lock().await;
        let entries = self.inner.ledger.take();
        if entries.is_empty() {
            return Ok(());
        }
        let written = self.entries_write(&entries).await;
        if written.is_err() {
            self.inner.ledger.put_back(entries);
        }
        written
    }

    async fn entries_write(&self, entries: &[NewAuditEntry]) -> Result<(), Error> {
        let mut write = self.inner.store.write().await?;
        write.record(&Record::of_audit(entries)).await?;
        Ok(write.commit().await?)
    }
}

/// A member who asks for somebody else's entries gets those of nobody: the id of no user is drawn from zeros.
fn own(caller: &Caller, asked: Option<UserId>) -> UserId {
    match asked {
        Some(other) if other != caller.user => UserId::from_random([0; 16]),
        Some(_) | None => caller.user,
    }
}
