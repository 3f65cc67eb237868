//! Keeps the clock with the host's.
//!
//! What the host says was true when it said so, and arrives later: a greeting waits in the VMM until the guest has
//! booted, and a busy host delivers late. So a guest that is behind what it hears is behind at least that much, and is
//! put right at once. One that is ahead may only have heard late: it is believed when two messages in a row say so, and
//! then by the smaller of the two.
//!
//! Large errors are stepped over, small ones are slewed away, and those are left alone where somebody in the guest
//! disciplines the clock (adjtimex(2), `STA_UNSYNC`).

use nix::libc;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::kmsg;

/// More than this is stepped over.
const STEP: i64 = 50_000_000;
/// Less than this is left alone: the delivery takes as long.
const NEAR: i64 = 5_000_000;
/// A greeting may be old, but no boot takes so long: a guest that is so far ahead of one is wrong, as with a hardware
/// clock in local time.
const GREETING_MAY_WAIT: i64 = 600 * NS;

const NS: i64 = 1_000_000_000;

/// What is remembered between two messages.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// By how much the guest seemed ahead at the last one.
    ahead: Option<i64>,
}

/// What is to be done, in nanoseconds to add.
#[derive(Debug, PartialEq, Eq)]
enum Correction {
    Step(i64),
    Slew(i64),
}

impl Clock {
    /// Takes the host's wall clock from a greeting, nanoseconds since 1970; 0 says nothing.
    pub(super) fn greeted(&mut self, host_unix_ns: u64) {
        if let (Ok(host @ 1..), Some(guest)) = (i64::try_from(host_unix_ns), now()) {
            correct(judge_greeting(host.saturating_sub(guest)));
        }
    }

    /// Takes it from a message that says nothing else.
    pub(super) fn told(&mut self, host_unix_ns: u64) {
        if let (Ok(host), Some(guest)) = (i64::try_from(host_unix_ns), now()) {
            correct(self.judge(host.saturating_sub(guest)));
        }
    }

    /// Pure but for what it remembers. `behind` is by how much the guest is behind what it heard.
    fn judge(&mut self, behind: i64) -> Option<Correction> {
        if behind >= 0 {
            self.ahead = None;
            return correction(behind);
        }
        let ahead = behind.saturating_neg();
        let sure = self.ahead.replace(ahead)?.min(ahead);
        let correction = correction(sure.saturating_neg());
        if matches!(correction, Some(Correction::Step(_))) {
            self.ahead = None;
        }
        correction
    }
}

fn judge_greeting(behind: i64) -> Option<Correction> {
    let sure = !(-GREETING_MAY_WAIT..=STEP).contains(&behind);
    sure.then_some(Correction::Step(behind))
}

fn correction(by: i64) -> Option<Correction> {
    match by.abs() {
        ..NEAR => None,
        NEAR..=STEP => Some(Correction::Slew(by)),
        _ => Some(Correction::Step(by)),
    }
}

fn correct(correction: Option<Correction>) {
    match correction {
        Some(Correction::Step(by)) => step(by),
        Some(Correction::Slew(by)) => slew(by),
        None => {}
    }
}

fn now() -> Option<i64> {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.checked_mul(NS)?.checked_add(now.tv_nsec)
}

fn step(by: i64) {
    let Some(right) = now().and_then(|now| now.checked_add(by)) else {
        return;
    };
    let time = Timespec {
        tv_sec: right.div_euclid(NS),
        tv_nsec: right.rem_euclid(NS),
    };
    if clock_settime(ClockId::Realtime, time).is_ok() {
        kmsg::note(&format!(
            "clock stepped by {} ms to the host's",
            by.div_euclid(1_000_000)
        ));
    }
}

#[expect(unsafe_code, reason = "adjtimex has no safe wrapper")]
fn slew(by: i64) {
    // SAFETY: all fields of `timex` are integers, for which zero is a value.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: adjtimex reads and writes one `timex`, which `asked` is; without modes it only reads the clock's state.
    let state = unsafe { libc::adjtimex(&raw mut asked) };
    if state < 0 || asked.status & libc::STA_UNSYNC == 0 {
        return;
    }
    asked.modes = libc::ADJ_OFFSET_SINGLESHOT;
    asked.offset = by.div_euclid(1000);
    // SAFETY: as above; this mode reads `offset`, in microseconds.
    let _ = unsafe { libc::adjtimex(&raw mut asked) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use Correction::{Slew, Step};

    const MS: i64 = 1_000_000;
    const HOUR: i64 = 3600 * NS;

    #[test]
    fn a_greeting_that_waited_does_not_turn_the_clock_back() {
        for (behind, expected) in [
            (0, None),
            (30 * MS, None),
            (-90 * NS, None),
            (5 * NS, Some(Step(5 * NS))),
            (-HOUR, Some(Step(-HOUR))),
        ] {
            assert_eq!(judge_greeting(behind), expected, "{behind}");
        }
    }

    #[test]
    fn behind_is_put_right_at_once_and_ahead_when_it_is_sure() {
        let mut clock = Clock::default();
        assert_eq!(clock.judge(3 * HOUR), Some(Step(3 * HOUR)), "stopped by a pause");
        assert_eq!(clock.judge(20 * MS), Some(Slew(20 * MS)));
        assert_eq!(clock.judge(3 * MS), None);
        assert_eq!(clock.judge(-3 * HOUR), None, "may have been held up");
        assert_eq!(
            clock.judge(-3 * HOUR - 40 * MS),
            Some(Step(-3 * HOUR)),
            "the less delayed tells"
        );
        assert_eq!(clock.judge(-40 * MS), None);
        assert_eq!(clock.judge(-8 * MS), Some(Slew(-8 * MS)));
    }

    #[test]
    fn a_host_that_is_late_now_and_then_moves_nothing() {
        let mut clock = Clock::default();
        for delay in [2, 900, 3, 4000, 1, 60, 4] {
            assert_eq!(clock.judge(-delay * MS), None, "{delay}");
        }
    }

    #[test]
    fn what_queued_up_during_a_pause_ends_at_the_newest() {
        let mut clock = Clock::default();
        let mut guest = 0;
        for host in [10 * NS, 20 * NS, 30 * NS] {
            let Some(Step(by)) = clock.judge(host - guest) else {
                panic!()
            };
            guest += by;
        }
        assert_eq!(guest, 30 * NS);
    }
}
