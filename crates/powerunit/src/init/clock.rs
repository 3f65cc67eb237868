//! Sets the clock from the host's, where they are far apart.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::kmsg;

/// Closer than this the guest's own clock is left alone: a jump hurts programs more than a second of error, and the
/// message itself took some time.
const FAR_NS: u64 = 1_000_000_000;

const NS: u64 = 1_000_000_000;

/// Takes the host's wall clock, nanoseconds since 1970; 0 says nothing.
pub(super) fn adopt(host_unix_ns: u64) {
    let now = clock_gettime(ClockId::Realtime);
    let guest = u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(NS);
    if host_unix_ns == 0 || guest.abs_diff(host_unix_ns) < FAR_NS {
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
