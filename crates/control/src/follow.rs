//! Following events: what was written, then what is written, and progress in between.
//!
//! ```text
//!   read rows behind the cursor ─► give them, move the cursor ─► none left: wait for a commit or for progress ─┐
//!        ▲                                                                                                   │
//!        └───────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;

use futures_util::Stream;
use model::VmId;
use store::{Store, StoredEvent};
use tokio::sync::{broadcast, watch};

use crate::meter::Follower;
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Event, EventKind, Operation, VmSelector};

/// Rows read at once. Larger reads hold more in memory per follower, smaller ones ask more often.
const BATCH: u32 = 256;

impl Control {
    /// The events of one VM, or of all (`None`).
    ///
    /// `after` is the number of the last event that the caller knows: `Some(0)` gives all there are, `None` those
    /// from now on, and a number that was never given is taken as `None`. Nothing committed after this call returns
    /// is missed.
    ///
    /// A VM's events end behind its `deleted`; those of all never end.
    ///
    /// # Errors
    /// There is no such VM.
    pub async fn vm_events(
        &self,
        caller: &Caller,
        selector: Option<&VmSelector>,
        after: Option<u64>,
    ) -> Result<Events, Error> {
        let (committed, progress) = self.inner.news.follow();
        let mut read = self.inner.store.read().await?;
        let vm = match selector {
            Some(selector) => Some(
                vm_find(&mut read, caller, selector, Operation::VmEvents)
                    .await?
                    .asked
                    .id,
            ),
            None => None,
        };
        let last = read.event_last().await?;
        Ok(Events {
            store: self.inner.store.clone(),
            vm,
            cursor: after.filter(|after| *after <= last).unwrap_or(last),
            ready: VecDeque::new(),
            ended: false,
            committed,
            progress,
            _counted: Follower::new(self.inner.meter.clone()),
        })
    }
}

/// A follower.
pub struct Events {
    store: Store,
    vm: Option<VmId>,
    cursor: u64,
    ready: VecDeque<Event>,
    ended: bool,
    committed: watch::Receiver<u64>,
    progress: broadcast::Receiver<Event>,
    _counted: Follower,
}

enum Woken {
    Committed,
    Progress(Event),
    Closed,
}

impl Events {
    /// Waits for the next event; `None` after a VM's last, or when control is gone.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.ended = self.vm.is_some() && event.what == EventKind::Deleted;
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            // Marked as seen before reading, so that a commit between reading and waiting wakes at once.
            self.committed.borrow_and_update();
            if self.read_on().await? {
                continue;
            }
            match self.wait().await {
                Woken::Committed => {}
                Woken::Progress(event) if self.vm.is_none_or(|vm| vm == event.vm) => return Ok(Some(event)),
                Woken::Progress(_) => {}
                Woken::Closed => return Ok(None),
            }
        }
    }

    /// The same as a stream, which ends after a failure.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Error>> + Send {
        futures_util::stream::unfold(Some(self), |events| async move {
            let mut events = events?;
            match events.next().await {
                Ok(Some(event)) => Some((Ok(event), Some(events))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Reads rows behind the cursor; gives whether there were any.
    async fn read_on(&mut self) -> Result<bool, Error> {
        let mut read = self.store.read().await?;
        let rows = read.event_list(self.cursor, self.vm, BATCH).await?;
        for row in rows {
            self.cursor = row.sequence;
            self.ready.push_back(event_of(row)?);
        }
        Ok(!self.ready.is_empty())
    }

    async fn wait(&mut self) -> Woken {
        loop {
            tokio::select! {
                changed = self.committed.changed() => return match changed {
                    Ok(()) => Woken::Committed,
                    Err(_) => Woken::Closed,
                },
                told = self.progress.recv() => match told {
                    Ok(event) => return Woken::Progress(event),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Woken::Closed,
                },
            }
        }
    }
}

fn event_of(row: StoredEvent) -> Result<Event, Error> {
    let what = serde_json::from_str(&row.data).map_err(Error::internal)?;
    Ok(Event {
        sequence: Some(row.sequence),
        at: row.at,
        vm: row.vm,
        generation: row.generation,
        what,
    })
}
