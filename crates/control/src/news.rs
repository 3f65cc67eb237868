//! What is told inside this process after a commit: which hosts need a plan, that there are new events, that somebody
//! may have lost a right, and how far stages have come. All of it may be lost without harm to what is asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use model::{HostId, Stage, VmId};
use store::Vm;
use tokio::sync::{Notify, broadcast, watch};

use crate::{Event, EventKind};

/// Progress that a slow follower may be behind before it misses the oldest.
const BEHIND: usize = 256;

/// Hosts whose plan is to be looked at.
#[derive(Default)]
pub(crate) struct Due {
    hosts: Mutex<BTreeSet<HostId>>,
    nudge: Notify,
}

impl Due {
    pub(crate) fn add(&self, hosts: BTreeSet<HostId>) {
        if !hosts.is_empty() {
            locked(&self.hosts).extend(hosts);
            self.nudge.notify_one();
        }
    }

    /// Waits for a nudge and takes what is due. Several nudges are one.
    pub(crate) async fn take(&self) -> BTreeSet<HostId> {
        self.nudge.notified().await;
        std::mem::take(&mut *locked(&self.hosts))
    }
}

/// Somebody waits for a VM; the last one to leave takes its entry along.
pub(crate) struct Wait<'a> {
    news: &'a News,
    vm: VmId,
    touched: watch::Receiver<()>,
}

impl Wait<'_> {
    /// Resolves when something else was asked or seen of the VM since the last time.
    pub(crate) async fn touched(&mut self) {
        // The sender stays for as long as somebody waits.
        drop(self.touched.changed().await);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = locked(&self.news.waits);
        // This one still counts.
        if waits.get(&self.vm).is_some_and(|wait| wait.receiver_count() <= 1) {
            waits.remove(&self.vm);
        }
    }
}

/// New events and live progress.
pub(crate) struct News {
    committed: watch::Sender<u64>,
    /// How often somebody may have lost a right.
    rights: watch::Sender<u64>,
    progress: broadcast::Sender<Event>,
    stages: Mutex<HashMap<VmId, Stage>>,
    /// Who waits, by VM, so that each is woken for its own VM only.
    waits: Mutex<HashMap<VmId, watch::Sender<()>>>,
}

impl News {
    pub(crate) fn new(last_event: u64) -> Self {
        Self {
            committed: watch::Sender::new(last_event),
            rights: watch::Sender::new(0),
            progress: broadcast::Sender::new(BEHIND),
            stages: Mutex::default(),
            waits: Mutex::default(),
        }
    }

    /// Tells that events up to this number are committed.
    pub(crate) fn committed(&self, sequence: u64) {
        self.committed.send_if_modified(|last| {
            let newer = sequence > *last;
            *last = sequence.max(*last);
            newer
        });
    }

    /// The number of the newest event that is committed.
    pub(crate) fn last_event(&self) -> u64 {
        *self.committed.borrow()
    }

    pub(crate) fn follow(&self) -> (watch::Receiver<u64>, broadcast::Receiver<Event>) {
        (self.committed.subscribe(), self.progress.subscribe())
    }

    /// Turns when something else was asked or seen of a VM.
    pub(crate) fn wait(&self, vm: VmId) -> Wait<'_> {
        let mut waits = locked(&self.waits);
        let touched = waits
            .entry(vm)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Wait {
            news: self,
            vm,
            touched,
        }
    }

    /// Tells those who wait for these VMs to look again.
    pub(crate) fn touched(&self, vms: &BTreeSet<VmId>) {
        let waits = locked(&self.waits);
        for wait in vms.iter().filter_map(|vm| waits.get(vm)) {
            wait.send_replace(());
        }
    }

    /// Tells that somebody may do less than before.
    pub(crate) fn rights_withdrawn(&self) {
        self.rights.send_modify(|count| *count += 1);
    }

    /// Turns with each [`News::rights_withdrawn`].
    pub(crate) fn rights(&self) -> watch::Receiver<u64> {
        self.rights.subscribe()
    }

    /// Keeps how far a VM's stage has come, and tells it to those who follow if it is something new.
    pub(crate) fn stage_told(&self, vm: &Vm, stage: Option<&Stage>, at: Timestamp) {
        let id = vm.asked.id;
        let mut stages = locked(&self.stages);
        let Some(stage) = stage else {
            stages.remove(&id);
            return;
        };
        if stages.insert(id, stage.clone()).as_ref() == Some(stage) {
            return;
        }
        let stage = stage.clone();
        // An error says that nobody follows, which is no failure.
        drop(self.progress.send(Event {
            sequence: None,
            at,
            vm: id,
            generation: vm.asked.generation,
            what: EventKind::Progress { stage },
        }));
    }

    pub(crate) fn stage(&self, vm: VmId) -> Option<Stage> {
        locked(&self.stages).get(&vm).cloned()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_and_leaves_nothing_behind() {
        let (news, vm) = (News::new(0), VmId::from_random([1; 16]));
        let (mut first, second) = (news.wait(vm), news.wait(vm));
        news.touched(&[vm].into());
        first.touched().await;
        drop(second);
        news.touched(&[vm].into());
        first.touched().await;
        drop(first);
        assert!(locked(&news.waits).is_empty());
        news.touched(&[vm].into());
        assert!(locked(&news.waits).is_empty());
    }
}
