//! How many VMs of a host boot at the same time. After a reboot of the host, and when a crowd is created, all of them at
//! once would take longer than a few after a few, and each of them would look hung.
//!
//! ```text
//!   made ──► wait for a turn (the longest waiting first) ──► boot ──► accepts SSH, fails, ends, or takes too long
//!                         ▲                                                            │ the turn is given back
//!                         └────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many VMs boot at the same time, and for how long one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootLimits {
    /// At least 1.
    pub at_once: usize,
    /// A VM that has not accepted SSH after this time counts no more: one that hangs holds up the others no longer.
    pub patience: Duration,
}

/// The turns of a host.
#[derive(Debug)]
pub(crate) struct Boots {
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// One VM's turn; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Turn {
    /// When it is over in any case.
    pub(crate) until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Boots {
    pub(crate) fn new(limits: BootLimits) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(limits.at_once.max(1))),
            patience: limits.patience,
        }
    }

    /// A turn, if nobody has to wait for one.
    pub(crate) fn at_once(&self) -> Option<Turn> {
        let permit = self.turns.clone().try_acquire_owned().ok()?;
        Some(self.turn(permit))
    }

    /// Waits for a turn, behind everybody who waits already (the semaphore's queue is in order).
    pub(crate) async fn next(&self) -> Turn {
        match self.turns.clone().acquire_owned().await {
            Ok(permit) => self.turn(permit),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }

    fn turn(&self, permit: OwnedSemaphorePermit) -> Turn {
        Turn {
            until: Instant::now() + self.patience,
            _permit: permit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_given_in_the_order_of_waiting() {
        let boots = Arc::new(Boots::new(BootLimits {
            at_once: 1,
            patience: Duration::from_secs(30),
        }));
        let first = boots.at_once().unwrap();
        assert!(boots.at_once().is_none());
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (boots, sender) = (boots.clone(), sender.clone());
            tokio::spawn(async move {
                let turn = boots.next().await;
                sender.send(number).unwrap();
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        assert!(order.try_recv().is_err());
        drop(first);
        for expected in 0..3 {
            assert_eq!(order.recv().await, Some(expected));
        }
    }
}
