//! Telling events to those who follow: each is read once and handed to whoever may see it at that moment.
//!
//! ```text
//!   commit ──nudge──► rows behind the position ─► who may see this VM now ─► a queue per follower
//!   progress ──────────────────────────────────►                          ─►   (full: the follower is let go)
//! ```
//!
//! A follower joins at a position; what lies before it reads from the memory by itself ([`crate::follow`]). So the work
//! per event grows with those who see it, and not with all who listen. One that is dropped leaves nothing behind.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{UserId, VmId};
use store::{Read, StoredEvent};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::{Caller, Control, Error, Event, chain};

/// Events that a follower may be behind before it is let go. It comes back and goes on from the memory.
const BEHIND: usize = 1000;

/// Rows read at once.
pub(crate) const BATCH: u32 = 256;

/// Those who follow.
pub(crate) struct Feed(Mutex<Followers>);

struct Followers {
    /// The number of the newest event that was handed out.
    position: u64,
    admins: Vec<Follower>,
    members: HashMap<UserId, Vec<Follower>>,
}

struct Follower {
    /// The only VM it follows.
    vm: Option<VmId>,
    queue: mpsc::Sender<Arc<Event>>,
}

impl Follower {
    /// Gives whether it still follows.
    fn tell(&self, event: &Arc<Event>) -> bool {
        self.vm.is_some_and(|vm| vm != event.vm) || self.queue.try_send(event.clone()).is_ok()
    }
}

impl Feed {
    pub(crate) fn new(last_event: u64) -> Self {
        Self(Mutex::new(Followers {
            position: last_event,
            admins: Vec::new(),
            members: HashMap::new(),
        }))
    }

    /// A queue of everything that the caller may see from now on, and the number it begins behind.
    pub(crate) fn join(&self, caller: &Caller, vm: Option<VmId>) -> (u64, mpsc::Receiver<Arc<Event>>) {
        let (queue, receiver) = mpsc::channel(BEHIND);
        let mut followers = self.locked();
        let follower = Follower { vm, queue };
        match caller.is_admin() {
            true => followers.admins.push(follower),
            false => followers.members.entry(caller.user).or_default().push(follower),
        }
        (followers.position, receiver)
    }

    /// Forgets those who joined as this caller and have closed their queues.
    pub(crate) fn leave(&self, caller: &Caller) {
        let mut followers = self.locked();
        let listens = |follower: &Follower| !follower.queue.is_closed();
        if caller.is_admin() {
            followers.admins.retain(listens);
        } else if let Some(theirs) = followers.members.get_mut(&caller.user) {
            theirs.retain(listens);
            if theirs.is_empty() {
                followers.members.remove(&caller.user);
            }
        }
    }

    /// How many follow.
    #[cfg(test)]
    pub(crate) fn followers(&self) -> usize {
        let followers = self.locked();
        followers.admins.len() + followers.members.values().map(Vec::len).sum::<usize>()
    }

    /// The number of the newest event that was handed out.
    pub(crate) fn position(&self) -> u64 {
        self.locked().position
    }

    /// Hands an event to whoever may see it.
    fn tell(&self, event: &Arc<Event>, audience: &BTreeSet<UserId>) {
        let mut followers = self.locked();
        if let Some(sequence) = event.sequence {
            followers.position = sequence;
        }
        followers.admins.retain(|follower| follower.tell(event));
        for user in audience {
            if let Some(theirs) = followers.members.get_mut(user) {
                theirs.retain(|follower| follower.tell(event));
                if theirs.is_empty() {
                    followers.members.remove(user);
                }
            }
        }
    }

    /// Goes on behind an event where nobody follows; gives whether that is so. Whoever joins later begins there.
    fn pass_unheard(&self, sequence: u64) -> bool {
        let mut followers = self.locked();
        let nobody = followers.admins.is_empty() && followers.members.is_empty();
        if nobody {
            followers.position = followers.position.max(sequence);
        }
        nobody
    }

    /// Goes on behind an event that nobody is told of.
    fn pass(&self, sequence: u64) {
        self.locked().position = sequence;
    }

    fn locked(&self) -> MutexGuard<'_, Followers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Hands out events as they are committed, and progress as it is told.
    pub(crate) async fn tell_events(&self) {
        let (mut committed, mut progress) = self.inner.news.follow();
        loop {
            committed.borrow_and_update();
            if let Err(error) = self.tell_committed().await {
                tracing::error!(
                    error = chain(&error),
                    "events could not be handed out; the next commit tries again"
                );
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                told = progress.recv() => match told {
                    Ok(event) => self.tell_progress(event).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    async fn tell_committed(&self) -> Result<(), Error> {
        loop {
            if self.inner.feed.pass_unheard(self.inner.news.last_event()) {
                return Ok(());
            }
            let mut read = self.inner.store.read().await?;
            let rows = read.event_list(self.inner.feed.position(), None, BATCH).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut audiences = Audiences::default();
            for row in rows {
                let sequence = row.sequence;
                let audience = audiences.of(&mut read, &row).await?;
                match readable(&row) {
                    Some(event) => self.inner.feed.tell(&Arc::new(event), audience),
                    None => self.inner.feed.pass(sequence),
                }
            }
        }
    }

    async fn tell_progress(&self, event: Event) {
        let audience = match self.inner.store.read().await {
            Ok(mut read) => read.audience_fetch(event.vm).await,
            Err(error) => Err(error),
        };
        match audience {
            Ok(audience) => self.inner.feed.tell(&Arc::new(event), &audience),
            Err(error) => tracing::error!(error = chain(&error), "progress could not be told"),
        }
    }
}

/// Who may see events at this moment, besides the admins, looked up once for each VM: its people, and of one that is gone,
/// those whom it had at its end.
#[derive(Default)]
pub(crate) struct Audiences(HashMap<VmId, BTreeSet<UserId>>);

impl Audiences {
    pub(crate) async fn of<'a>(
        &'a mut self,
        read: &mut Read,
        row: &'a StoredEvent,
    ) -> Result<&'a BTreeSet<UserId>, Error> {
        if let Some(last) = &row.audience {
            return Ok(last);
        }
        Ok(match self.0.entry(row.vm) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(read.audience_fetch(row.vm).await?),
        })
    }
}

/// The event that a row holds; none where a later version of Pitwall wrote it, or it is damaged. It would hold up all
/// behind it.
pub(crate) fn readable(row: &StoredEvent) -> Option<Event> {
    match Event::of_row(row) {
        Ok(event) => Some(event),
        Err(error) => {
            let (number, kind) = (row.sequence, row.kind.as_str());
            tracing::error!(
                event = number,
                kind,
                error = chain(&error),
                "an event is left out"
            );
            None
        }
    }
}
