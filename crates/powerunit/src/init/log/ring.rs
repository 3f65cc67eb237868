//! The last of a log that the host does not hold yet.

use std::collections::VecDeque;
use std::time::Duration;

use wire::guest::{LOG_KEPT, LogPart};
use wire::stream::Lane;

/// The longest part, bytes.
pub(super) const PART: usize = 32 * 1024;

/// Bytes that come this close after one another are one part with one time.
const TOGETHER: Duration = Duration::from_millis(100);

/// From this many parts on, time does not begin a new one any more: a service that prints a word a second for a day
/// would otherwise have more memory for times than for words.
const MANY: usize = 1 << 12;

/// No more parts than this are kept, whatever they are: one that alternates between its lanes byte by byte.
const MOST: usize = 1 << 14;

/// Parts in the order of their offsets, without a gap between them.
#[derive(Debug, Default)]
pub(super) struct Ring {
    parts: VecDeque<LogPart>,
    bytes: usize,
    /// Bytes of the whole boot.
    end: u64,
    /// How many of the parts were said in this connection.
    said: usize,
}

impl Ring {
    /// Takes what was read. What is too old then goes, said or not.
    pub(super) fn push(&mut self, unix_ns: u64, lane: Lane, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room_of_last(unix_ns, lane);
            let (part, left) = rest.split_at(rest.len().min(if room > 0 { room } else { PART }));
            match self.parts.back_mut() {
                Some(last) if room > 0 => last.bytes.extend_from_slice(part),
                Some(_) | None => self.parts.push_back(LogPart {
                    offset: self.end,
                    unix_ns,
                    lane,
                    bytes: part.to_vec(),
                }),
            }
            self.bytes = self.bytes.saturating_add(part.len());
            self.end = self.end.saturating_add(count(part.len()));
            rest = left;
        }
        self.drop_old();
    }

    /// The host holds everything before this offset.
    pub(super) fn held(&mut self, offset: u64) {
        while let Some(first) = self.parts.front() {
            let before = usize::try_from(offset.saturating_sub(first.offset)).unwrap_or(usize::MAX);
            if before == 0 {
                return;
            }
            self.drop_front(before);
        }
    }

    /// The next part to be said.
    pub(super) fn next(&mut self) -> Option<LogPart> {
        let part = self.parts.get(self.said)?.clone();
        self.said = self.said.saturating_add(1);
        Some(part)
    }

    /// Whether everything was said.
    pub(super) fn is_said(&self) -> bool {
        self.said == self.parts.len()
    }

    /// Says everything again that is not held.
    pub(super) fn begin_anew(&mut self) {
        self.said = 0;
    }

    /// How many of these bytes may join the last part. One that was said is not changed.
    fn room_of_last(&self, unix_ns: u64, lane: Lane) -> usize {
        let Some(last) = self.parts.back() else { return 0 };
        let is_near = u128::from(unix_ns.saturating_sub(last.unix_ns)) < TOGETHER.as_nanos();
        let joins =
            self.said < self.parts.len() && last.lane == lane && (is_near || self.parts.len() >= MANY);
        if joins {
            PART.saturating_sub(last.bytes.len())
        } else {
            0
        }
    }

    fn drop_old(&mut self) {
        while self.bytes > LOG_KEPT {
            self.drop_front(self.bytes.saturating_sub(LOG_KEPT));
        }
        while self.parts.len() > MOST {
            self.drop_front(PART);
        }
    }

    /// Drops so much of the first part, or all of it.
    fn drop_front(&mut self, wanted: usize) {
        let Some(first) = self.parts.front_mut() else {
            return;
        };
        let dropped = wanted.min(first.bytes.len());
        self.bytes = self.bytes.saturating_sub(dropped);
        if dropped < first.bytes.len() {
            first.bytes.drain(..dropped);
            first.offset = first.offset.saturating_add(count(dropped));
            return;
        }
        self.parts.pop_front();
        self.said = self.said.saturating_sub(1);
        if self.parts.is_empty() {
            // A burst's memory goes back.
            self.parts = VecDeque::new();
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn all(ring: &mut Ring) -> Vec<LogPart> {
        std::iter::from_fn(|| ring.next()).collect()
    }

    #[test]
    fn words_that_come_together_are_one_part() {
        let mut ring = Ring::default();
        ring.push(0, Lane::Stdout, b"a");
        ring.push(99 * MS, Lane::Stdout, b"b");
        ring.push(100 * MS, Lane::Stdout, b"c");
        ring.push(100 * MS, Lane::Stderr, b"d");
        let parts: Vec<_> = all(&mut ring)
            .into_iter()
            .map(|part| (part.offset, part.bytes))
            .collect();
        assert_eq!(
            parts,
            [(0, b"ab".to_vec()), (2, b"c".to_vec()), (3, b"d".to_vec())]
        );
        // What was said stays as it was said.
        ring.push(100 * MS, Lane::Stderr, b"e");
        assert_eq!(ring.next().map(|part| part.offset), Some(4));
    }

    #[test]
    fn three_megabytes_leave_the_last_one_and_a_gap() {
        let mut ring = Ring::default();
        for n in 0..96 {
            ring.push(n * 1000 * MS, Lane::Stdout, &vec![n as u8; PART]);
        }
        let parts = all(&mut ring);
        assert_eq!(parts.first().map(|part| part.offset), Some(2 << 20));
        assert_eq!(parts.iter().map(|part| part.bytes.len()).sum::<usize>(), LOG_KEPT);
    }

    #[test]
    fn memory_is_bounded_for_the_slow_and_for_the_mad() {
        let mut slow = Ring::default();
        let mut mad = Ring::default();
        for n in 0..200_000 {
            slow.push(n * 1000 * MS, Lane::Stdout, b"word\n");
            mad.push(n, if n % 2 == 0 { Lane::Stdout } else { Lane::Stderr }, b"x");
        }
        assert!(
            slow.parts.len() <= MANY + 1_000_000 / PART + 1,
            "{}",
            slow.parts.len()
        );
        assert_eq!(slow.bytes, 1_000_000, "nothing of less than a MiB is lost");
        assert_eq!(mad.parts.len(), MOST);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64, bool, usize),
        Held(u64),
        Next,
        Anew,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..300, any::<bool>(), 0_usize..100_000).prop_map(|(ms, lane, length)| Step::Push(ms, lane, length)),
            1 => (0_u64..4_000_000).prop_map(Step::Held),
            4 => Just(Step::Next),
            1 => Just(Step::Anew),
        ]
    }

    proptest! {
        /// Against a model that keeps everything: what is said is the log, in order, each byte once in a connection,
        /// and nothing is missing but what is held or older than the last MiB.
        #[test]
        fn what_is_said_is_the_log(steps in prop::collection::vec(step(), 1..80)) {
            let mut ring = Ring::default();
            let (mut log, mut now, mut held, mut next) = (Vec::new(), 0, 0, 0);
            for step in steps {
                match step {
                    Step::Push(ms, lane, length) => {
                        now += ms * MS;
                        let bytes: Vec<u8> = (log.len()..log.len() + length).map(|n| (n / 251) as u8).collect();
                        ring.push(now, if lane { Lane::Stdout } else { Lane::Stderr }, &bytes);
                        log.extend(bytes);
                    }
                    Step::Held(offset) => {
                        let offset = offset.min(log.len() as u64);
                        held = held.max(offset);
                        ring.held(offset);
                    }
                    Step::Anew => {
                        ring.begin_anew();
                        next = 0;
                    }
                    Step::Next => {
                        let oldest = (log.len().saturating_sub(LOG_KEPT) as u64).max(held);
                        let Some(part) = ring.next() else {
                            prop_assert!(next.max(oldest) == log.len() as u64);
                            continue;
                        };
                        prop_assert_eq!(part.offset, next.max(oldest));
                        prop_assert!(!part.bytes.is_empty() && part.bytes.len() <= PART);
                        let start = part.offset as usize;
                        prop_assert_eq!(&part.bytes, &log[start..start + part.bytes.len()]);
                        next = part.offset + part.bytes.len() as u64;
                    }
                }
                prop_assert!(ring.bytes <= LOG_KEPT);
            }
        }
    }
}
