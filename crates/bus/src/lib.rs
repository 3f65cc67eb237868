//! The post between control and its hosts. It carries encoded bytes and knows nothing of what is in them.
//!
//! ```text
//!   control ── publish_plan(host) ──►  newest only, per host   ──► plans(host)  ── host
//!   control ◄─ reports() + ack ──────  queue, whole states     ◄── publish_report(host) ── host
//!   control ── publish_status(vm) ──►  to whoever listens now  ──► statuses()
//! ```
//!
//! One concrete handle, [`Bus`]. What it carries today it carries inside this process; a broker is another inside of
//! the same handle and answers the same suite ([`conformance`]).
//!
//! What always holds, and is all that its users may rely on:
//!
//! - A message may come late, twice, or not at all. Plans and reports are whole and numbered, so none of that harms.
//! - Of the plans for one host only the newest is kept. Who subscribes late gets it.
//! - A report that was taken but not acknowledged comes again once its taker is gone.
//! - Everything is bounded. A host that reports faster than control reads loses its own oldest reports, never
//!   another host's.
//! - Publishing never waits for a reader.

pub mod conformance;
mod plans;
mod reports;
mod statuses;
pub mod topic;

use std::sync::Arc;

use model::{HostId, Status, VmId};

pub use plans::Plans;
pub use reports::{Delivery, Reports};
pub use statuses::{StatusMessage, Statuses};

/// What the post could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus was closed; nothing is carried any more.
    #[error("cannot {operation}: the message bus is closed")]
    Closed {
        /// What was tried.
        operation: &'static str,
    },
}

/// A handle on the post; clones share it.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<InProcess>,
}

struct InProcess {
    plans: plans::Shelf,
    reports: Arc<reports::Queue>,
    statuses: statuses::Board,
}

impl Bus {
    /// A post inside this process. What is on it ends with its last handle.
    pub fn in_process() -> Self {
        Self {
            inner: Arc::new(InProcess {
                plans: plans::Shelf::default(),
                reports: Arc::default(),
                statuses: statuses::Board::default(),
            }),
        }
    }

    /// Puts a host's newest plan in the place of the one before.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn publish_plan(&self, host: HostId, bytes: Vec<u8>) -> Result<(), BusError> {
        self.inner.plans.publish(host, bytes)
    }

    /// The plans for one host, beginning with the newest there is.
    pub fn plans(&self, host: HostId) -> Plans {
        self.inner.plans.subscribe(host)
    }

    /// Queues a report of a host.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn publish_report(&self, host: HostId, bytes: Vec<u8>) -> Result<(), BusError> {
        self.inner.reports.publish(host, bytes)
    }

    /// The reports of all hosts. Several takers share the queue; each report goes to one of them.
    pub fn reports(&self) -> Reports {
        Reports::new(Arc::clone(&self.inner.reports))
    }

    /// Tells whoever listens now that a VM has a new status.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn publish_status(&self, vm: VmId, status: Status, bytes: Vec<u8>) -> Result<(), BusError> {
        self.inner.statuses.publish(vm, status, bytes)
    }

    /// The status changes from now on. A listener that falls far behind misses the oldest.
    pub fn statuses(&self) -> Statuses {
        self.inner.statuses.subscribe()
    }

    /// Closes the post: publishing fails from now on, and every reader's `next` fails once it is asked.
    pub fn close(&self) {
        self.inner.plans.close();
        self.inner.reports.close();
        self.inner.statuses.close();
    }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
