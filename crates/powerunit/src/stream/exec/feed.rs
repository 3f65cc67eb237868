//! What a program is given to read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{SpecialCodeIndex, tcgetattr};

/// Bytes on their way into a pipe or a terminal. They are no more than the credit that the host has.
#[derive(Debug)]
pub(super) struct Feed {
    file: Option<File>,
    queue: VecDeque<u8>,
    is_terminal: bool,
    /// The last byte written.
    last: u8,
    /// Bytes at the end of the queue that are ours: a terminal's end of input.
    ours: usize,
    /// No more follows.
    ended: bool,
}

impl Feed {
    pub(super) fn pipe(file: Option<File>) -> Self {
        Self::new(file, false)
    }

    pub(super) fn terminal(file: File) -> Self {
        Self::new(Some(file), true)
    }

    fn new(file: Option<File>, is_terminal: bool) -> Self {
        Self {
            file,
            queue: VecDeque::new(),
            is_terminal,
            last: b'\n',
            ours: 0,
            ended: false,
        }
    }

    /// The descriptor to wait for, while there is something to be written.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        let wants = !self.queue.is_empty() || self.ended;
        self.file.as_ref().filter(|_| wants).map(AsFd::as_fd)
    }

    /// Takes bytes; returns how many of them are used up already, as those are that nobody reads.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        match self.file {
            Some(_) => {
                self.queue.extend(bytes);
                self.write()
            }
            None => bytes.len(),
        }
    }

    /// No more follows. A pipe is closed once everything is written. A terminal has no half-close: its reader is told by
    /// the character for it, once for a line that was begun and once for the end (termios(3), VEOF).
    pub(super) fn end(&mut self) -> usize {
        if let Some(file) = self.file.as_ref().filter(|_| self.is_terminal && !self.ended)
            && let Ok(modes) = tcgetattr(file)
        {
            let in_line = self.queue.back().unwrap_or(&self.last) != &b'\n';
            self.ours = if in_line { 2 } else { 1 };
            let character = modes.special_codes[SpecialCodeIndex::VEOF];
            self.queue.extend(std::iter::repeat_n(character, self.ours));
        }
        self.ended = true;
        self.write()
    }

    /// Nobody reads any more.
    pub(super) fn shut(&mut self) {
        self.file = None;
        self.queue.clear();
    }

    /// Writes what fits, and returns how much of the host's bytes that used up.
    pub(super) fn write(&mut self) -> usize {
        let before = self.of_host();
        while let Some(file) = &mut self.file {
            let (front, _) = self.queue.as_slices();
            if front.is_empty() {
                if self.ended {
                    self.file = None;
                }
                break;
            }
            match file.write(front) {
                Ok(count) => {
                    let last = count.checked_sub(1).and_then(|last| front.get(last));
                    self.last = *last.unwrap_or(&self.last);
                    self.queue.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.shut(),
            }
        }
        before.saturating_sub(self.of_host())
    }

    /// How much of the queue came from the host.
    fn of_host(&self) -> usize {
        self.queue.len().saturating_sub(self.ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::os::fd::OwnedFd;

    #[test]
    fn what_nobody_reads_is_used_up() {
        let (reader, writer) = pipe().unwrap();
        let mut feed = Feed::pipe(Some(File::from(OwnedFd::from(writer))));
        assert_eq!(feed.push(b"abc"), 3);
        drop(reader);
        assert_eq!(feed.push(b"defg"), 4);
        assert_eq!(feed.push(b"h"), 1);
        assert!(feed.waiting().is_none());
    }

    #[test]
    fn the_end_comes_after_the_bytes() {
        let (mut reader, writer) = pipe().unwrap();
        let mut feed = Feed::pipe(Some(File::from(OwnedFd::from(writer))));
        feed.push(b"last words");
        feed.end();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    }
}
