//! How much the machine is used: connections whose client is known, and its processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wire::guest::Usage;

/// All known clients of the server.
#[derive(Debug, Default)]
pub(super) struct Presence {
    here: AtomicU32,
    ever: AtomicU64,
}

/// One known client, until it is dropped.
#[derive(Debug)]
pub(super) struct Present(Arc<Presence>);

impl Presence {
    /// A client is known from now on.
    pub(super) fn enter(self: &Arc<Self>) -> Present {
        self.here.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Present(Arc::clone(self))
    }

    /// What the host is told; nothing where the kernel does not say how busy it is.
    pub(super) fn usage(&self) -> Option<Usage> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        Some(Usage {
            sessions: self.here.load(Ordering::Relaxed),
            logins: self.ever.load(Ordering::Relaxed),
            busy: busy(&stat, rustix::param::clock_ticks_per_second())?,
        })
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pure: how long all processors together did something, as proc_stat(5) tells it. Waiting for a disk is none of it, nor
/// is what the host gave to others; what guests of this machine used is in `user` already.
fn busy(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let counts: Option<Vec<u64>> = line.split_whitespace().map(|count| count.parse().ok()).collect();
    match counts?.as_slice() {
        [
            user,
            nice,
            system,
            _idle,
            _waiting,
            interrupts,
            soft_interrupts,
            ..,
        ] => {
            let ticks = [user, nice, system, interrupts, soft_interrupts]
                .into_iter()
                .sum::<u64>();
            let ms = ticks.saturating_mul(1000).checked_div(ticks_per_second)?;
            Some(Duration::from_millis(ms))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_is_busy_and_what_waits_is_not() {
        let stat = "cpu  100 20 300 9999 8888 4 5 7777 66 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(busy(stat, 100), Some(Duration::from_millis(4290)));
        for bad in ["", "cpu0 1 2 3 4 5 6 7", "cpu 1 2 3", "cpu a b c d e f g"] {
            assert_eq!(busy(bad, 100), None, "{bad:?}");
        }
        assert_eq!(busy(stat, 0), None);
    }

    #[test]
    fn who_left_was_here() {
        let presence = Arc::new(Presence::default());
        let first = presence.enter();
        drop(presence.enter());
        let usage = presence.usage().unwrap();
        assert_eq!((usage.sessions, usage.logins), (1, 2));
        assert!(usage.busy > Duration::ZERO);
        drop(first);
        assert_eq!(presence.usage().unwrap().sessions, 0);
    }
}
