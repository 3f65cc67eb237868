//! What the host has not taken yet.

use std::collections::VecDeque;

/// Beyond this much the host is as good as gone, and what more is said is dropped: one that comes back is told
/// everything. It holds a configuration's worth of answers many times over.
const MOST: usize = 1 << 20;

/// Frames on their way, in order. A frame that was begun is finished: the host would wait a long time for the rest of
/// half a frame, as nothing but the next bytes shows that it will not come.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Vec<u8>>,
    /// How much of the first is gone.
    begun: usize,
    bytes: usize,
}

impl Outbox {
    /// Takes a frame, unless there is too much already.
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        if self.bytes.saturating_add(frame.len()) <= MOST {
            self.bytes = self.bytes.saturating_add(frame.len());
            self.frames.push_back(frame);
        }
    }

    /// What is to be written next.
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.frames.front().and_then(|frame| frame.get(self.begun..))
    }

    /// So much of [`Outbox::front`] was written.
    pub(super) fn advance(&mut self, count: usize) {
        self.begun = self.begun.saturating_add(count);
        self.bytes = self.bytes.saturating_sub(count);
        if self.front().is_none_or(<[u8]>::is_empty) {
            self.frames.pop_front();
            self.begun = 0;
        }
        if self.frames.is_empty() {
            // A burst's memory goes back.
            self.frames = VecDeque::new();
        }
    }

    /// Forgets everything: whoever was to hear it is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets what was not begun, for a host that greets anew.
    pub(super) fn begin_anew(&mut self) {
        self.frames.truncate(usize::from(self.begun > 0));
        self.bytes = self.front().map_or(0, <[u8]>::len);
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_greeting_finishes_the_frame_that_was_begun() {
        let mut outbox = Outbox::default();
        for frame in ["first", "second"] {
            outbox.push(frame.into());
        }
        outbox.advance(2);
        outbox.begin_anew();
        assert_eq!((outbox.front(), outbox.len()), (Some(&b"rst"[..]), 3));
        outbox.push("hello".into());
        outbox.advance(3);
        assert_eq!(outbox.front(), Some(&b"hello"[..]));
        outbox.begin_anew();
        assert_eq!((outbox.front(), outbox.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_and_in_bounds(lengths in prop::collection::vec(1_usize..200_000, 1..20), steps in prop::collection::vec(1_usize..90_000, 1..60)) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut gone) = (Vec::new(), Vec::new());
            for (mark, length) in lengths.iter().enumerate() {
                let before = outbox.len();
                outbox.push(vec![mark as u8; *length]);
                prop_assert!(outbox.len() <= MOST);
                if outbox.len() > before {
                    pushed.extend(vec![mark as u8; *length]);
                }
            }
            for step in steps {
                let Some(front) = outbox.front() else { break };
                let count = step.min(front.len());
                gone.extend_from_slice(&front[..count]);
                outbox.advance(count);
            }
            prop_assert_eq!(outbox.len(), pushed.len() - gone.len());
            prop_assert!(pushed.starts_with(&gone));
        }
    }
}
