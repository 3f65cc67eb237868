//! Sets the clock from the host's, where they are far apart.
//!
//! What the host says may be old: a greeting waits in the VMM until the guest has booted and opens its port. So the
//! host's time is a moment that has passed, and a guest that is a little ahead of it is right.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::kmsg;

/// Behind by more than this, the guest's clock is wrong: time spent in a snapshot, or no hardware clock. A jump over
/// less would hurt programs more than it helps.
const BEHIND_NS: u64 = 1_000_000_000;
/// Ahead by more than this, it is wrong too, such as a hardware clock in local time; no greeting waits so long.
const AHEAD_NS: u64 = 600 * 1_000_000_000;

const NS: u64 = 1_000_000_000;

/// Takes the host's wall clock, nanoseconds since 1970; 0 says nothing.
pub(super) fn adopt(host_unix_ns: u64) {
    let now = clock_gettime(ClockId::Realtime);
    let guest = u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(NS);
    if !is_wrong(guest, host_unix_ns) {
        return;
    }
    let (Ok(tv_sec), Ok(tv_nsec)) = (
        i64::try_from(host_unix_ns.wrapping_div(NS)),
        i64::try_from(host_unix_ns.wrapping_rem(NS)),
    ) else {
        return;
    };
    if clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec }).is_ok() {
        kmsg::note("clock set from the host's");
    }
}

/// Pure: whether the guest should take the host's time.
fn is_wrong(guest: u64, host: u64) -> bool {
    host != 0 && (guest.saturating_add(BEHIND_NS) < host || guest > host.saturating_add(AHEAD_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_greeting_does_not_turn_the_clock_back() {
        let now = 1_795_000_000 * NS;
        assert!(!is_wrong(now, 0));
        assert!(!is_wrong(now, now));
        assert!(!is_wrong(now + 90 * NS, now), "the greeting waited for the boot");
        assert!(is_wrong(now + 3600 * NS, now), "a hardware clock in local time");
        assert!(is_wrong(now - 5 * NS, now), "time spent in a snapshot");
        assert!(is_wrong(0, now), "no hardware clock");
    }
}
