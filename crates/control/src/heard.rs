//! When hosts were heard last, for reports that brought nothing new: most do, and a commit for each would be the
//! larger part of what an idle control plane does.
//!
//! Losing this costs nothing: a control plane that starts gives every host time to speak, and a report that brings
//! nothing new may be taken in again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use model::HostId;
use store::Host;

#[derive(Default)]
pub(crate) struct Heard(Mutex<HashMap<HostId, Last>>);

#[derive(Clone, Copy)]
struct Last {
    order: (u64, u64),
    at: Timestamp,
}

impl Heard {
    /// Remembers the newest report of a host. Gives whether it is the first since this control plane started.
    pub(crate) fn set(&self, host: HostId, order: (u64, u64), at: Timestamp) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(host, Last { order, at }).is_none()
    }

    /// Whether a host was heard since this control plane started.
    pub(crate) fn has(&self, host: HostId) -> bool {
        self.last(host).is_some()
    }

    /// The order of a host's newest report, kept or only heard.
    pub(crate) fn order(&self, host: &Host) -> (u64, u64) {
        self.last(host.id)
            .map_or(host.report, |last| last.order.max(host.report))
    }

    /// When a host's newest report came, kept or only heard.
    pub(crate) fn at(&self, host: &Host) -> Timestamp {
        self.last(host.id)
            .map_or(host.last_report_at, |last| last.at.max(host.last_report_at))
    }

    fn last(&self, host: HostId) -> Option<Last> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&host).copied()
    }
}
