//! Reports on their way to control: one queue, shared by its takers, bounded per host.
//!
//! ```text
//!   publish ─► waiting ─ next ─► in flight (per taker) ─ ack ─► gone
//!                 ▲                    │
//!                 └── taker dropped ◄──┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use model::HostId;
use tokio::sync::Notify;

use crate::{BusError, locked};

/// Reports kept per host. A report is a whole state, so the newest says all; a few more let a reader see short
/// phases. Larger costs memory when control is away, smaller skips phases.
const WAITING_PER_HOST: usize = 8;

/// Reports that one taker may hold unacknowledged before it gets no more. A taker that never acknowledges must not
/// drain the queue into its own memory.
const IN_FLIGHT_PER_TAKER: usize = 32;

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    closed: bool,
    next_ticket: u64,
    next_taker: u64,
    waiting: VecDeque<Letter>,
    /// By taker, then ticket: in the order of publishing.
    in_flight: BTreeMap<(u64, u64), Letter>,
}

struct Letter {
    ticket: u64,
    host: HostId,
    bytes: Arc<[u8]>,
}

impl Queue {
    pub(crate) fn publish(&self, host: HostId, bytes: Vec<u8>) -> Result<(), BusError> {
        {
            let mut state = locked(&self.state);
            if state.closed {
                return Err(BusError::Closed {
                    operation: "publish a report",
                });
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.waiting.push_back(Letter {
                ticket,
                host,
                bytes: bytes.into(),
            });
            state.shed(host);
        }
        self.changed.notify_waiters();
        Ok(())
    }

    pub(crate) fn close(&self) {
        locked(&self.state).closed = true;
        self.changed.notify_waiters();
    }

    fn take(&self, taker: u64) -> Result<Option<Letter>, BusError> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(BusError::Closed {
                operation: "wait for a report",
            });
        }
        let held = state.in_flight.range((taker, 0)..=(taker, u64::MAX)).count();
        if held >= IN_FLIGHT_PER_TAKER {
            return Ok(None);
        }
        let Some(letter) = state.waiting.pop_front() else {
            return Ok(None);
        };
        let copy = Letter {
            ticket: letter.ticket,
            host: letter.host,
            bytes: Arc::clone(&letter.bytes),
        };
        state.in_flight.insert((taker, letter.ticket), copy);
        Ok(Some(letter))
    }

    fn acknowledge(&self, taker: u64, ticket: u64) {
        locked(&self.state).in_flight.remove(&(taker, ticket));
        self.changed.notify_waiters();
    }

    fn taker_gone(&self, taker: u64) {
        {
            let mut state = locked(&self.state);
            let mut later = state.in_flight.split_off(&(taker, 0));
            let others = later.split_off(&(taker + 1, 0));
            state.in_flight.extend(others);
            for letter in later.into_values().rev() {
                let host = letter.host;
                state.waiting.push_front(letter);
                state.shed(host);
            }
        }
        self.changed.notify_waiters();
    }
}

impl State {
    /// Drops the oldest waiting reports of a host that has too many.
    fn shed(&mut self, host: HostId) {
        let mut excess = self
            .waiting
            .iter()
            .filter(|letter| letter.host == host)
            .count()
            .saturating_sub(WAITING_PER_HOST);
        self.waiting.retain(|letter| {
            let drop = excess > 0 && letter.host == host;
            excess -= usize::from(drop);
            !drop
        });
    }
}

/// A taker of reports.
pub struct Reports {
    queue: Arc<Queue>,
    taker: u64,
}

impl Reports {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        let taker = {
            let mut state = locked(&queue.state);
            state.next_taker += 1;
            state.next_taker
        };
        Self { queue, taker }
    }

    /// Waits for a report. Safe to drop while it waits.
    ///
    /// # Errors
    /// The bus is closed.
    pub async fn next(&mut self) -> Result<Delivery, BusError> {
        let queue = Arc::clone(&self.queue);
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            // Enlisted before looking, so that what comes between looking and waiting is not missed.
            changed.as_mut().enable();
            if let Some(letter) = queue.take(self.taker)? {
                return Ok(Delivery {
                    queue: Arc::clone(&queue),
                    taker: self.taker,
                    letter,
                });
            }
            changed.await;
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.queue.taker_gone(self.taker);
    }
}

/// A report in its taker's hands. Dropped without [`Delivery::ack`], it comes again once the taker is gone.
pub struct Delivery {
    queue: Arc<Queue>,
    taker: u64,
    letter: Letter,
}

impl Delivery {
    /// The host that sent it.
    pub fn host(&self) -> HostId {
        self.letter.host
    }

    /// The encoded report.
    pub fn bytes(&self) -> &[u8] {
        &self.letter.bytes
    }

    /// Says that it is dealt with.
    pub fn ack(self) {
        self.queue.acknowledge(self.taker, self.letter.ticket);
    }
}
