//! The rate of the host's time-stamp counter. An emulated guest reads the host's counter and has nothing to measure it
//! by, so it has to be told.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A shorter measurement is less exact than the guest's clock tolerates.
const SHORTEST: Duration = Duration::from_millis(50);

/// How often a moment is tried: on a busy host another program may run between two readings, and what that takes would be
/// a fault of the rate.
const TRIES: usize = 5;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    counter: u64,
    nanoseconds: i128,
}

impl Moment {
    /// The least disturbed of several.
    fn now() -> Self {
        let tries = std::iter::repeat_with(Self::with_doubt).take(TRIES);
        let best = tries.min_by_key(|(_, doubt)| *doubt);
        best.map_or_else(|| Self::with_doubt().0, |(moment, _)| moment)
    }

    /// One, and how long reading it took, ns.
    fn with_doubt() -> (Self, i128) {
        let before = nanoseconds();
        let counter = counter();
        let after = nanoseconds();
        let moment = Self {
            counter,
            nanoseconds: before.midpoint(after),
        };
        (moment, after - before)
    }
}

/// A measurement that goes on as long as this value lives: the later it is read, the more exact it is.
#[derive(Debug)]
pub(super) struct Tsc {
    begin: Moment,
}

impl Tsc {
    /// Begins to measure.
    pub(super) fn begin() -> Self {
        Self { begin: Moment::now() }
    }

    /// The rate in kHz. Waits only if it was begun a moment ago.
    pub(super) async fn khz(&self) -> u64 {
        let gone = Moment::now().nanoseconds - self.begin.nanoseconds;
        let gone = Duration::from_nanos(u64::try_from(gone).unwrap_or_default());
        if gone < SHORTEST {
            tokio::time::sleep(SHORTEST.saturating_sub(gone)).await;
        }
        let now = Moment::now();
        let ticks = i128::from(now.counter.wrapping_sub(self.begin.counter));
        let nanoseconds = (now.nanoseconds - self.begin.nanoseconds).max(1);
        u64::try_from((ticks * 1_000_000 + nanoseconds / 2) / nanoseconds).unwrap_or_default()
    }
}

/// Whether the kernel trusts the counter to run evenly on all processors.
pub(super) fn is_reliable() -> bool {
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/available_clocksource")
        .is_ok_and(|sources| sources.split_ascii_whitespace().any(|source| source == "tsc"))
}

fn nanoseconds() -> i128 {
    let now = clock_gettime(ClockId::MonotonicRaw);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the intrinsic is declared unsafe")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC; it reads a counter and touches no memory. Linux forbids it to a
    // process only on request (PR_SET_TSC), which nobody makes here.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the QEMU driver runs x86-64 guests on x86-64 hosts only");

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_measurements_agree_to_a_thousandth() {
        let (first, second) = (Tsc::begin().khz().await, Tsc::begin().khz().await);
        assert!((500_000..10_000_000).contains(&first), "{first} kHz");
        assert!(first.abs_diff(second) * 1000 < first, "{first} and {second} kHz");
    }
}
