//! What hosts have told: a digest of what each said last of each VM, so that only what is said anew is compared with what
//! is remembered. A report names all VMs of its host, and most of them are as they were.
//!
//! What a host says of a VM changes with what is asked of it, since it says which generation it holds. So what was taken in
//! once brings nothing new when it is said again. All of a report is compared nevertheless from time to time, and
//! whenever this is lost.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{HostId, VmId};
use tokio::time::Instant;
use wire::host::{HostReport, VmReport};

/// How long a host's reports are compared in part only, at least; at most twice as long. It differs by host, so that never
/// many of them are compared as a whole at once: each takes some 20 ms for 500 VMs.
const IN_PART: Duration = Duration::from_mins(5);

/// What was told by all hosts.
#[derive(Default)]
pub(crate) struct Told {
    hosts: Mutex<HashMap<HostId, Arc<OfHost>>>,
    hasher: RandomState,
}

/// What was told by one host.
struct OfHost {
    vms: HashMap<VmId, Entry>,
    compared: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    digest: u64,
    found: bool,
}

/// What of a report is to be compared.
pub(super) enum Anew {
    /// All of it.
    All,
    /// What it says of these VMs.
    Of(Vec<VmId>),
}

/// A report with its digests, to be remembered once it was taken in.
pub(super) struct Telling {
    vms: HashMap<VmId, Entry>,
    compared: Instant,
    pub(super) anew: Anew,
}

impl Told {
    /// Looks what a report says that was not said before.
    pub(super) fn look(&self, report: &HostReport) -> Telling {
        let vms: HashMap<VmId, Entry> = report.vms.iter().map(|vm| (vm.id, self.entry(vm))).collect();
        let before = self.locked().get(&report.host).cloned();
        let now = Instant::now();
        let before = before.filter(|before| now.duration_since(before.compared) < self.in_part(report.host));
        let in_part = before.and_then(|before| Some((before.compared, anew(&before.vms, &vms)?)));
        match in_part {
            Some((compared, ids)) => Telling {
                vms,
                compared,
                anew: Anew::Of(ids),
            },
            None => Telling {
                vms,
                compared: now,
                anew: Anew::All,
            },
        }
    }

    /// Remembers what was taken in.
    pub(super) fn keep(&self, host: HostId, telling: Telling) {
        let told = OfHost {
            vms: telling.vms,
            compared: telling.compared,
        };
        self.locked().insert(host, Arc::new(told));
    }

    fn in_part(&self, host: HostId) -> Duration {
        let more = self.hasher.hash_one(host) % IN_PART.as_secs();
        IN_PART + Duration::from_secs(more)
    }

    fn entry(&self, vm: &VmReport) -> Entry {
        Entry {
            digest: self.hasher.hash_one((&vm.seen, &vm.body)),
            found: vm.found,
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<HostId, Arc<OfHost>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The VMs of which something else is said than before. Nothing, where that touches what was found on the host: that is a
/// set, and compared as one.
fn anew(before: &HashMap<VmId, Entry>, now: &HashMap<VmId, Entry>) -> Option<Vec<VmId>> {
    let mut ids = Vec::new();
    for (id, entry) in now {
        let known = before.get(id);
        if known == Some(entry) {
            continue;
        }
        if entry.found || known.is_some_and(|known| known.found) {
            return None;
        }
        ids.push(*id);
    }
    let left_out = before
        .iter()
        .any(|(id, entry)| entry.found && !now.contains_key(id));
    (!left_out).then_some(ids)
}
