//! Following events: what was written, then what is written, and progress in between.
//!
//! ```text
//!   join the feed at a position ─► read rows from the cursor to it ─► then the feed's queue, to its end
//! ```
//!
//! An event's id names its installation and its place in the order of commits. Clients take it as it is: an id of another
//! database, or of a time that is forgotten, is answered with a reset, and the client looks at everything anew.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::Stream;
use model::{Digest, InstallationId, VmId};
use sha2::{Digest as _, Sha256};
use store::Read;
use tokio::sync::mpsc;

use crate::feed::{Audiences, BATCH, readable};
use crate::meter::Follower;
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Event, EventKind, Operation, VmSelector};

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since<'a> {
    /// With the first that is kept.
    First,
    /// With the next that happens.
    Now,
    /// Behind an event, by its id.
    Id(&'a str),
}

impl Control {
    /// The events of one VM, or of all that the caller may see. Nothing committed after this call returns is missed.
    ///
    /// A VM's events end behind its `deleted`; those of all never end. A follower that is too far behind comes to an
    /// end, and may come again with the last id it knows.
    ///
    /// # Errors
    /// There is no such VM.
    pub async fn events(
        &self,
        caller: &Caller,
        selector: Option<&VmSelector>,
        since: Since<'_>,
    ) -> Result<Events, Error> {
        let operation = match selector {
            Some(_) => Operation::VmEvents,
            None => Operation::EventList,
        };
        caller.may_ask_for(operation)?;
        let mut read = self.inner.store.read().await?;
        let vm = match selector {
            Some(selector) => Some(vm_find(&mut read, caller, selector, operation).await?.asked.id),
            None => None,
        };
        drop(read);
        let (position, queue) = self.inner.feed.join(caller, vm);
        let mut read = self.inner.store.read().await?;
        let last = read.event_last().await?;
        let cursor = self.cursor(&mut read, since, last).await?;
        Ok(Events {
            control: self.clone(),
            caller: caller.clone(),
            vm,
            reset: cursor.is_none(),
            cursor: cursor.unwrap_or(last),
            position,
            ready: VecDeque::new(),
            queue,
            ended: false,
            _counted: Follower::new(self.inner.meter.clone()),
        })
    }

    /// The number that the follower begins behind; `None` for an id that says nothing here any more.
    async fn cursor(&self, read: &mut Read, since: Since<'_>, last: u64) -> Result<Option<u64>, Error> {
        let id = match since {
            Since::First => return Ok(Some(0)),
            Since::Now => return Ok(Some(last)),
            Since::Id(id) => id,
        };
        let Some(sequence) = sequence_of(self.inner.installation, id) else {
            return Ok(None);
        };
        let is_kept = match read.event_first().await? {
            Some(first) => first <= sequence.saturating_add(1),
            // All are forgotten: whoever knows the last has missed nothing.
            None => sequence == last,
        };
        let was_given = sequence <= last;
        Ok(Some(sequence).filter(|_| is_kept && was_given))
    }
}

/// What an event is called: a mark of its installation, and its place.
pub(crate) fn id_of(installation: InstallationId, sequence: u64) -> String {
    format!("{}-{sequence:x}", mark(installation))
}

fn sequence_of(installation: InstallationId, id: &str) -> Option<u64> {
    let (of, place) = id.split_once('-')?;
    let sequence = u64::from_str_radix(place, 16).ok()?;
    // One text per event: neither signs nor leading zeros.
    (of == mark(installation) && id_of(installation, sequence) == id).then_some(sequence)
}

fn mark(installation: InstallationId) -> String {
    let digest = Digest::from_sha256(Sha256::digest(installation.to_string()).into());
    digest
        .as_bytes()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A follower.
pub struct Events {
    control: Control,
    caller: Caller,
    vm: Option<VmId>,
    reset: bool,
    /// The number of the last event that was looked at.
    cursor: u64,
    /// The number that the queue begins behind.
    position: u64,
    ready: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
    ended: bool,
    _counted: Follower,
}

impl Events {
    /// Whether the id that was given says nothing here any more, so that everything is to be looked at anew.
    pub const fn is_reset(&self) -> bool {
        self.reset
    }

    /// The only VM that is followed.
    pub const fn vm(&self) -> Option<VmId> {
        self.vm
    }

    /// What an event of these is called; progress has no id.
    pub fn id(&self, event: &Event) -> Option<String> {
        let installation = self.control.inner.installation;
        event.sequence.map(|sequence| id_of(installation, sequence))
    }

    /// Waits for the next event; `None` after a VM's last, when this follower is too far behind, or when control is
    /// gone.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, Error> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(self.seen(event)));
            }
            if self.cursor < self.position {
                self.read_on().await?;
                continue;
            }
            match self.queue.recv().await {
                // The feed was behind when this follower came.
                Some(event) if event.sequence.is_some_and(|sequence| sequence <= self.cursor) => {}
                Some(event) => return Ok(Some(self.seen(event))),
                None => return Ok(None),
            }
        }
    }

    /// The same as a stream of events with their ids, which ends after a failure.
    pub fn into_stream(self) -> impl Stream<Item = Result<(Option<String>, Arc<Event>), Error>> + Send {
        futures_util::stream::unfold(Some(self), |events| async move {
            let mut events = events?;
            match events.next().await {
                Ok(Some(event)) => Some((Ok((events.id(&event), event)), Some(events))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn seen(&mut self, event: Arc<Event>) -> Arc<Event> {
        self.ended = self.vm.is_some() && event.what == EventKind::Deleted;
        event
    }

    /// Reads rows up to where the queue begins, and keeps those that the caller may see.
    async fn read_on(&mut self) -> Result<(), Error> {
        let mut read = self.control.inner.store.read().await?;
        let rows = read.event_list(self.cursor, self.vm, BATCH).await?;
        let read_to = rows.last().map_or(self.position, |row| row.sequence);
        let mut audiences = Audiences::default();
        for row in rows.iter().take_while(|row| row.sequence <= self.position) {
            let may_see =
                self.caller.is_admin() || audiences.of(&mut read, row).await?.contains(&self.caller.user);
            if may_see {
                self.ready.extend(readable(row).map(Arc::new));
            }
        }
        self.cursor = read_to.min(self.position);
        Ok(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.close();
        self.control.inner.feed.leave(&self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_installation_and_has_one_text() {
        let [here, there] = [1, 2].map(|byte| InstallationId::from_random([byte; 16]));
        let id = id_of(here, 300);
        assert_eq!(sequence_of(here, &id), Some(300));
        assert_eq!(sequence_of(there, &id), None);
        let padded = id.replace('-', "-0");
        for wrong in [
            "",
            "-",
            "300",
            "12c",
            &padded,
            &id.to_uppercase().replace("12C", "+12c"),
        ] {
            assert_eq!(sequence_of(here, wrong), None, "{wrong}");
        }
    }
}
