//! When a service that ended is started again.

use std::time::Duration;

use model::{ProgramEnd, RestartPolicy};

/// How patient a supervisor is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// The first pause. Each further one is twice as long.
    first: Duration,
    /// The longest.
    longest: Duration,
    /// What ran this long was a good start: the pauses begin anew.
    settled: Duration,
}

/// Shorter pauses would let a service that cannot run take the processor; longer ones would keep people waiting for one
/// whose database comes up a little later.
pub(super) const ORDINARY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    settled: Duration::from_secs(10),
};

/// What becomes of a service that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It stays as it is.
    Stay,
    /// It is started again after this time.
    After(Duration),
}

impl Backoff {
    /// Pure: `previous` is the pause before the run that ended now, if there was one.
    pub(super) fn next(
        &self,
        policy: RestartPolicy,
        end: ProgramEnd,
        ran_for: Duration,
        previous: Option<Duration>,
    ) -> Decision {
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => end != ProgramEnd::Exited(0),
            RestartPolicy::Always => true,
        };
        match previous {
            _ if !again => Decision::Stay,
            Some(pause) if ran_for < self.settled => {
                Decision::After(pause.saturating_mul(2).clamp(self.first, self.longest))
            }
            Some(_) | None => Decision::After(self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILED: ProgramEnd = ProgramEnd::Exited(7);
    const DONE: ProgramEnd = ProgramEnd::Exited(0);
    const KILLED: ProgramEnd = ProgramEnd::Killed(15);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_policy_decides_whether() {
        use RestartPolicy::{Always, No, OnFailure};
        let again = Decision::After(seconds(1));
        for (policy, end, expected) in [
            (No, FAILED, Decision::Stay),
            (No, KILLED, Decision::Stay),
            (No, DONE, Decision::Stay),
            (OnFailure, FAILED, again),
            (OnFailure, KILLED, again),
            (OnFailure, DONE, Decision::Stay),
            (Always, FAILED, again),
            (Always, KILLED, again),
            (Always, DONE, again),
        ] {
            assert_eq!(
                ORDINARY.next(policy, end, seconds(0), None),
                expected,
                "{policy} {end:?}"
            );
        }
    }

    #[test]
    fn pauses_double_to_a_minute_and_begin_anew_after_a_good_run() {
        let mut pause = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Decision::After(next) = ORDINARY.next(RestartPolicy::OnFailure, FAILED, seconds(9), pause)
            else {
                panic!("it stayed")
            };
            pauses.push(next.as_secs());
            pause = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        let settled = ORDINARY.next(RestartPolicy::OnFailure, FAILED, seconds(10), pause);
        assert_eq!(settled, Decision::After(seconds(1)));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_outside_of_its_bounds(ran_for in 0_u64..100, previous in proptest::option::of(0_u64..u64::MAX / 4)) {
            let previous = previous.map(seconds);
            let decision = ORDINARY.next(RestartPolicy::Always, DONE, seconds(ran_for), previous);
            let Decision::After(pause) = decision else { return Err(TestCaseError::fail("it stayed")) };
            prop_assert!((ORDINARY.first..=ORDINARY.longest).contains(&pause));
        }
    }
}
