//! A change: one write transaction, the events it writes, and what is told once it is committed.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use jiff::Timestamp;
use model::{HostId, Limits, Status, StatusView, VmId};
use store::{Answer, NewAuditEntry, NewEvent, Record, Vm, Write};

use crate::audit::entry_of;
use crate::quota::{counted, has_quota};
use crate::view::status_of;
use crate::{Caller, Control, Error, EventKind, Once, Operation};

/// A change on its way. Dropped without [`Control::commit`] it never was.
pub(crate) struct Change {
    write: Write,
    /// When it happens: one moment for all of it.
    pub(crate) now: Timestamp,
    /// Written just before the commit, all at once.
    events: Vec<NewEvent>,
    touched: BTreeSet<VmId>,
    statuses: Vec<(VmId, Status)>,
    replan: BTreeSet<HostId>,
    withdraws: bool,
    /// The quota of those who have none of their own.
    pub(crate) quota_defaults: Limits,
    audit: Option<NewAuditEntry>,
    /// Its commit waits for the answer to this request.
    pub(crate) once: Option<Once>,
    /// The answer that is kept with it.
    pub(crate) answer: Option<Answer>,
}

impl Change {
    /// Says what the change is about, for the audit: an id, mostly.
    pub(crate) fn about(&mut self, target: impl ToString) {
        if let Some(entry) = &mut self.audit {
            entry.target = Some(target.to_string());
        }
    }

    /// Lets an event be written with the change.
    pub(crate) async fn event(&mut self, vm: VmId, generation: u64, what: &EventKind) -> Result<(), Error> {
        let audience = match what {
            EventKind::Deleted => Some(self.write.audience_fetch(vm).await?),
            EventKind::Created { .. }
            | EventKind::Adopted { .. }
            | EventKind::Changed
            | EventKind::Status { .. }
            | EventKind::Ending { .. }
            | EventKind::Progress { .. } => None,
        };
        let event = NewEvent {
            at: self.now,
            kind: what.as_str(),
            vm,
            generation,
            data: serde_json::to_string(what).map_err(Error::internal)?,
            audience,
        };
        self.touches(vm);
        self.events.push(event);
        Ok(())
    }

    /// Writes that a VM's status is another than before, if it is.
    pub(crate) async fn status(&mut self, before: Option<StatusView>, after: &Vm) -> Result<(), Error> {
        let now = status_of(after);
        if before.as_ref() == Some(&now) {
            return Ok(());
        }
        if before.is_none_or(|before| before.status != now.status) {
            self.statuses.push((after.asked.id, now.status));
        }
        let what = EventKind::Status {
            status: now.status,
            reason: now.reason,
        };
        self.event(after.asked.id, after.asked.generation, &what).await
    }

    /// Keeps what is asked of a VM now, and writes the events of that. `before` is the VM as it was.
    ///
    /// # Errors
    /// More is asked for than before, and the owner's quota has no room for it.
    pub(crate) async fn ask(&mut self, before: &Vm, now: &Vm) -> Result<(), Error> {
        let more = counted(&now.asked).beyond(&counted(&before.asked));
        has_quota(&mut self.write, &self.quota_defaults, now.owner.id, &more).await?;
        let request = self.audit.as_ref().and_then(|entry| entry.request.as_ref());
        self.write.vm_asked_update(&now.asked, request).await?;
        if now.asked.body.boot > before.asked.body.boot {
            self.write.past_keys_delete(now.asked.id).await?;
        }
        if before.asked.body.registry_secret.is_some() && now.asked.body.registry_secret.is_none() {
            self.write.secret_delete(now.asked.id).await?;
        }
        if now.life != before.life {
            self.write.vm_life_update(now.asked.id, &now.life).await?;
        }
        self.event(now.asked.id, now.asked.generation, &EventKind::Changed)
            .await?;
        self.status(Some(status_of(before)), now).await?;
        self.replan(now.host);
        Ok(())
    }

    /// Says that somebody may do less from now on, so that what is open is looked at again after the commit: a share, a
    /// membership, a token, a user, a role or an owner has changed.
    pub(crate) const fn withdraws_rights(&mut self) {
        self.withdraws = true;
    }

    /// Lets those who wait for a VM look at it again after the commit.
    pub(crate) fn touches(&mut self, vm: VmId) {
        self.touched.insert(vm);
    }

    /// Lets the plan of a host be looked at after the commit.
    pub(crate) fn replan(&mut self, host: HostId) {
        self.replan.insert(host);
    }
}

impl Deref for Change {
    type Target = Write;

    fn deref(&self) -> &Write {
        &self.write
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Write {
        &mut self.write
    }
}

/// A use case makes two changes in one request, of which only the last would be kept with its answer.
#[derive(Debug, thiserror::Error)]
#[error("a second change in one request: {}", .0.as_str())]
struct SecondChange(Operation);

/// Does something to its end in a task of its own, also where the caller goes away meanwhile.
///
/// # Errors
/// It fails.
pub(crate) async fn to_its_end(
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    let ended = tokio::spawn(work).await;
    ended.map_err(|error| Error::internal(TaskLost(error)))?
}

/// A task ended in a way it should not.
#[derive(Debug, thiserror::Error)]
#[error("the task that makes a change last ended early")]
struct TaskLost(#[source] tokio::task::JoinError);

impl Control {
    /// Begins a change that somebody asks for, if they still may when their turn comes. It is written into the audit
    /// together with it.
    ///
    /// # Errors
    /// The caller may not, or its request is to be done once and has made a change already: one answer stands for one
    /// change.
    pub(crate) async fn change_by(&self, caller: &Caller, operation: Operation) -> Result<Change, Error> {
        caller.may_ask_for(operation)?;
        if caller.origin.once.as_ref().is_some_and(Once::holds) {
            return Err(Error::internal(SecondChange(operation)));
        }
        let mut change = self.change().await?;
        self.may_change_now(&mut change, caller, operation).await?;
        self.once_begin(&mut change, caller, operation).await?;
        change.audit = Some(entry_of(caller.actor(), operation, change.now));
        Ok(change)
    }

    /// Waits for its turn and begins a change.
    pub(crate) async fn change(&self) -> Result<Change, Error> {
        Ok(Change {
            write: self.inner.store.write().await?,
            now: self.now(),
            events: Vec::new(),
            touched: BTreeSet::new(),
            statuses: Vec::new(),
            replan: BTreeSet::new(),
            withdraws: false,
            quota_defaults: self.inner.quotas,
            audit: None,
            once: None,
            answer: None,
        })
    }

    /// Makes a change last and tells of it; that of a request which is to be done once, together with its answer, as
    /// `once` tells.
    pub(crate) async fn commit(&self, mut change: Change) -> Result<(), Error> {
        match change.once.take() {
            Some(once) => {
                once.hold(change);
                Ok(())
            }
            None => self.commit_now(change).await,
        }
    }

    /// Makes a change last and tells of it. It runs in a task of its own, so that a caller that goes away between
    /// the commit and the telling leaves nothing half done.
    pub(crate) async fn commit_now(&self, change: Change) -> Result<(), Error> {
        let control = self.clone();
        to_its_end(async move { control.commit_here(change).await }).await
    }

    async fn commit_here(&self, mut change: Change) -> Result<(), Error> {
        let asked = change.audit.take();
        let record = Record {
            audit: asked.as_slice(),
            events: &change.events,
            answer: change.answer.as_ref(),
        };
        let last_event = change.write.record(&record).await?;
        let began = Instant::now();
        change.write.commit().await?;
        if asked.is_some() {
            crate::fault::committed();
        }
        self.inner.meter.committed(began.elapsed());
        if let Some(last_event) = last_event {
            self.inner.news.committed(last_event);
        }
        self.inner.news.touched(&change.touched);
        self.inner.due.add(change.replan);
        if change.withdraws {
            self.inner.news.rights_withdrawn();
        }
        for (vm, status) in change.statuses {
            if let Err(error) = self.inner.bus.publish_status(vm, status, Vec::new()).await {
                // Whoever listens there was promised nothing; the events hold the truth.
                tracing::warn!(vm.id = %vm, %status, %error, "a status change could not be announced");
            }
        }
        Ok(())
    }
}
