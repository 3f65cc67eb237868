//! Whether a VM is used. A pure function of what was heard of it; the time is an argument.
//!
//! ```text
//!   guest: open and past logins, busy time ──┐
//!                                            ├─► Meter ─► Active ─► Soon ─► Idle
//!   host: programs, copies and consoles  ────┘              ▲ any use, silence, another boot
//! ```
//!
//! A VM is idle when for the time asked there was no SSH connection, no stream that the host carries, and its
//! processors together were busy for less than 2 % of that time. What the host did not hear (its own restart, a guest
//! that says nothing, one with an older powerunit) counts as use: nothing is stopped for what is not known. So idleness
//! is of one boot and of one start of the host, and nothing of it is written down.

use std::collections::VecDeque;
use std::time::Duration;

use model::Idle;
use tokio::time::Instant;
use wire::guest::Usage;

/// Of each of these, one part is the share of one processor that an idle VM may use: 2 %.
const BUSY_ONE_IN: u32 = 50;

/// The longest warning. A VM with a shorter time is warned of for a tenth of that.
const LONGEST_WARNING: Duration = Duration::from_secs(600);

/// A guest that said nothing for this long may have been used meanwhile.
const SILENCE: Duration = Duration::from_secs(60);

/// Into so many parts the time asked is cut: the busy time is known at the end of each.
const PARTS: u32 = 60;

/// How often a guest says how it is used, if this many seconds without use make it idle.
pub(crate) fn rhythm(after: u64) -> Duration {
    Duration::from_secs((after / 10).clamp(1, 10))
}

/// The streams into a VM that its host carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    /// How many are open.
    pub(crate) open: u32,
    /// When the last one ended.
    pub(crate) ended: Option<Instant>,
}

/// What is known of the use of a VM in this boot.
#[derive(Debug)]
pub(crate) struct Meter {
    after: Duration,
    /// Not used by way of SSH since then, as far as is known.
    unused_since: Instant,
    last: Option<(Instant, Usage)>,
    /// The busy time at moments of the past, oldest first; one of them at or before the time asked.
    busy: VecDeque<(Instant, Duration)>,
}

impl Meter {
    /// One that knows nothing yet, for a VM that is idle after so many seconds without use.
    pub(crate) fn new(after: u64, now: Instant) -> Self {
        Self {
            after: Duration::from_secs(after),
            unused_since: now,
            last: None,
            busy: VecDeque::new(),
        }
    }

    /// Whether it measures this.
    pub(crate) fn is_for(&self, after: u64) -> bool {
        self.after == Duration::from_secs(after)
    }

    /// Takes in what the guest said then. What was taken in before changes nothing.
    pub(crate) fn hear(&mut self, at: Instant, usage: Usage) {
        if self.last.is_some_and(|(last, _)| last >= at) {
            return;
        }
        let goes_on = self
            .last
            .is_some_and(|(last, before)| at.duration_since(last) <= SILENCE && before.busy <= usage.busy);
        if !goes_on {
            self.busy.clear();
        }
        let logins = self.last.map_or(0, |(_, before)| before.logins);
        if !goes_on || usage.sessions > 0 || usage.logins != logins {
            self.unused_since = at;
        }
        self.last = Some((at, usage));
        let is_due = |&(last, _): &(Instant, Duration)| at.duration_since(last) >= self.after / PARTS;
        if self.busy.back().is_none_or(is_due) {
            self.busy.push_back((at, usage.busy));
        }
        while self
            .busy
            .get(1)
            .is_some_and(|&(second, _)| at.duration_since(second) >= self.after)
        {
            self.busy.pop_front();
        }
    }

    /// Whether the VM is used now.
    pub(crate) fn judge(&self, now: Instant, streams: Streams) -> Idle {
        let Some((last, usage)) = self.last else {
            return Idle::Active;
        };
        if streams.open > 0 || now.duration_since(last) > SILENCE {
            return Idle::Active;
        }
        let warning = LONGEST_WARNING.min(self.after / 10);
        if self.is_idle_in(Duration::ZERO, now, usage, streams) {
            Idle::Idle
        } else if self.is_idle_in(warning, now, usage, streams) {
            Idle::Soon
        } else {
            Idle::Active
        }
    }

    /// Whether the VM is idle in so long a time, if it goes on as it does now.
    fn is_idle_in(&self, time: Duration, now: Instant, usage: Usage, streams: Streams) -> bool {
        let unused_since = streams
            .ended
            .map_or(self.unused_since, |ended| ended.max(self.unused_since));
        let window = self.after.saturating_sub(time);
        let is_before = |&&(at, _): &&(Instant, Duration)| now.duration_since(at) >= window;
        let begin = self.busy.iter().rev().find(is_before).or(self.busy.front());
        let busy = begin.map_or(Duration::ZERO, |&(_, busy)| usage.busy.saturating_sub(busy));
        now.duration_since(unused_since) >= window && busy * BUSY_ONE_IN < window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// What happens in a second of a VM's life: sessions, logins so far, and how busy it is, per cent.
    type Life = fn(u64) -> (u32, u64, u32);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Lives through so many seconds, heard every ten, and gives how it was judged last and when it was first seen so.
    fn lived(after: u64, until: u64, life: Life, streams: impl Fn(u64) -> Streams) -> (Idle, u64) {
        let start = Instant::now();
        let (mut meter, mut busy) = (Meter::new(after, start), Duration::ZERO);
        let mut judged = (Idle::Active, 0);
        for second in 0..=until {
            let (sessions, logins, percent) = life(second);
            busy += seconds(1) * percent / 100;
            let now = start + seconds(second);
            if second % 10 == 0 {
                meter.hear(
                    now,
                    Usage {
                        sessions,
                        logins,
                        busy,
                    },
                );
            }
            let idle = meter.judge(now, streams(second));
            if idle != judged.0 {
                judged = (idle, second);
            }
        }
        judged
    }

    fn none(_: u64) -> Streams {
        Streams::default()
    }

    #[test]
    fn what_counts_as_use() {
        let cases: [(&str, Life, (Idle, u64)); 8] = [
            ("nothing", |_| (0, 0, 0), (Idle::Idle, 3600)),
            ("a little work", |_| (0, 0, 1), (Idle::Idle, 3600)),
            ("work at the limit", |_| (0, 0, 2), (Idle::Active, 0)),
            (
                "a session that ended",
                |second| (u32::from(second < 1000), 1, 0),
                (Idle::Idle, 990 + 3600),
            ),
            ("a session that is open", |_| (1, 1, 0), (Idle::Active, 0)),
            (
                "a login between two words of the guest",
                |second| (0, u64::from(second >= 2005), 0),
                (Idle::Idle, 2010 + 3600),
            ),
            // 100 s of work are more than 2 % of an hour, and 72 s of it are that just until they are older than it.
            (
                "work that ended",
                |second| (0, 0, if second < 100 { 100 } else { 0 }),
                (Idle::Idle, 3600 + 60),
            ),
            (
                "much work now and then",
                |second| (0, 0, if second % 1000 < 50 { 100 } else { 0 }),
                (Idle::Active, 0),
            ),
        ];
        for (what, life, expected) in cases {
            assert_eq!(lived(HOUR, 2 * HOUR, life, none), expected, "{what}");
        }
    }

    #[test]
    fn a_warning_comes_ten_minutes_before_or_a_tenth_of_the_time() {
        for (after, warning) in [(HOUR, 3600 - 360), (10 * HOUR, 36_000 - 600), (20, 18)] {
            assert_eq!(
                lived(after, after - 1, |_| (0, 0, 0), none),
                (Idle::Soon, warning),
                "{after}"
            );
            assert_eq!(
                lived(after, after, |_| (0, 0, 0), none),
                (Idle::Idle, after),
                "{after}"
            );
        }
    }

    #[test]
    fn streams_of_the_host_count_while_they_are_open_and_from_their_end() {
        let open = |_| Streams { open: 1, ended: None };
        assert_eq!(lived(HOUR, 2 * HOUR, |_| (0, 0, 0), open), (Idle::Active, 0));
        let start = Instant::now();
        let mut meter = Meter::new(100, start);
        let usage = Usage::default();
        let mut judged = Vec::new();
        for second in (0..=190).step_by(10) {
            let now = start + seconds(second);
            meter.hear(now, usage);
            let ended = (second >= 80).then(|| start + seconds(80));
            judged.push(meter.judge(now, Streams { open: 0, ended }));
        }
        assert_eq!(judged[..17], [Idle::Active; 17]);
        assert_eq!(judged[17..], [Idle::Soon, Idle::Idle, Idle::Idle]);
    }

    #[test]
    fn what_was_not_heard_counts_as_use() {
        let start = Instant::now();
        let mut meter = Meter::new(100, start);
        assert_eq!(
            meter.judge(start + seconds(500), none(0)),
            Idle::Active,
            "an older powerunit"
        );
        let usage = |busy| Usage {
            busy: seconds(busy),
            ..Usage::default()
        };
        meter.hear(start, usage(50));
        for second in 0..=10 {
            meter.hear(start + seconds(second * 10), usage(50));
        }
        assert_eq!(meter.judge(start + seconds(100), none(0)), Idle::Idle);
        assert_eq!(
            meter.judge(start + seconds(161), none(0)),
            Idle::Active,
            "it has fallen silent"
        );
        meter.hear(start + seconds(165), usage(50));
        assert_eq!(
            meter.judge(start + seconds(165), none(0)),
            Idle::Active,
            "it speaks again"
        );
        meter.hear(start + seconds(225), usage(50));
        meter.hear(start + seconds(266), usage(50));
        assert_eq!(meter.judge(start + seconds(266), none(0)), Idle::Idle);
        meter.hear(start + seconds(270), usage(1));
        assert_eq!(
            meter.judge(start + seconds(270), none(0)),
            Idle::Active,
            "another boot"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut meter = Meter::new(HOUR, start);
        for second in 0..20_000 {
            meter.hear(start + seconds(second), Usage::default());
        }
        assert!(meter.busy.len() <= 62, "{}", meter.busy.len());
    }

    #[test]
    fn the_rhythm_follows_the_time_asked() {
        for (after, every) in [(1, 1), (15, 1), (60, 6), (100, 10), (86_400, 10)] {
            assert_eq!(rhythm(after), seconds(every), "{after}");
        }
    }
}
