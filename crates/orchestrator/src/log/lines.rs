//! Cuts what was printed into lines. Pure.

use wire::link::{LogEntry, LogRecord, MAX_LINE};
use wire::stream::Lane;

/// Lines that have begun, one of each lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    stdout: Begun,
    stderr: Begun,
}

#[derive(Debug, Clone, Default)]
struct Begun {
    unix_ns: u64,
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes what a lane printed and gives the lines that it finished.
    pub(super) fn push(&mut self, lane: Lane, unix_ns: u64, bytes: &[u8], out: &mut Vec<LogRecord>) {
        let begun = match lane {
            Lane::Stdout => &mut self.stdout,
            Lane::Stderr => &mut self.stderr,
        };
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, finished) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                Some(_) | None => (piece, false),
            };
            begun.take(lane, unix_ns, text, out);
            if finished {
                begun.finish(lane, unix_ns, out);
            }
        }
    }

    /// Gives the lines that have begun as they are, the older first: nothing more of them comes.
    pub(super) fn flush(&mut self, out: &mut Vec<LogRecord>) {
        let first = out.len();
        for (lane, begun) in [(Lane::Stdout, &mut self.stdout), (Lane::Stderr, &mut self.stderr)] {
            if !begun.bytes.is_empty() {
                begun.finish(lane, begun.unix_ns, out);
            }
        }
        out.get_mut(first..)
            .unwrap_or_default()
            .sort_by_key(|record| record.unix_ns);
    }
}

impl Begun {
    fn take(&mut self, lane: Lane, unix_ns: u64, mut text: &[u8], out: &mut Vec<LogRecord>) {
        while !text.is_empty() {
            if self.bytes.len() == MAX_LINE {
                self.finish(lane, unix_ns, out);
            }
            if self.bytes.is_empty() {
                self.unix_ns = unix_ns;
            }
            let (now, later) = text.split_at(text.len().min(MAX_LINE - self.bytes.len()));
            self.bytes.extend_from_slice(now);
            text = later;
        }
    }

    fn finish(&mut self, lane: Lane, unix_ns: u64, out: &mut Vec<LogRecord>) {
        let unix_ns = if self.bytes.is_empty() {
            unix_ns
        } else {
            self.unix_ns
        };
        let bytes = std::mem::take(&mut self.bytes);
        out.push(LogRecord {
            unix_ns,
            entry: LogEntry::Line { lane, bytes },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(records: &[LogRecord]) -> Vec<(u64, Lane, String)> {
        let line = |record: &LogRecord| match &record.entry {
            LogEntry::Line { lane, bytes } => {
                (record.unix_ns, *lane, String::from_utf8_lossy(bytes).into_owned())
            }
            LogEntry::Gap { .. } | LogEntry::Boot { .. } => panic!("{record:?}"),
        };
        records.iter().map(line).collect()
    }

    #[test]
    fn a_line_has_the_time_of_its_begin_and_lanes_do_not_mix() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.push(Lane::Stdout, 1, b"hel", &mut out);
        lines.push(Lane::Stderr, 2, b"oops\n\nno newline", &mut out);
        lines.push(Lane::Stdout, 3, b"lo\nnext", &mut out);
        assert_eq!(
            text(&out),
            [
                (2, Lane::Stderr, "oops".to_owned()),
                (2, Lane::Stderr, String::new()),
                (1, Lane::Stdout, "hello".to_owned()),
            ]
        );
        out.clear();
        lines.flush(&mut out);
        assert_eq!(
            text(&out),
            [
                (2, Lane::Stderr, "no newline".to_owned()),
                (3, Lane::Stdout, "next".to_owned()),
            ]
        );
        out.clear();
        lines.flush(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_long_line_is_cut() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for _ in 0..5 {
            lines.push(Lane::Stdout, 1, &[b'x'; MAX_LINE / 2], &mut out);
        }
        lines.push(Lane::Stdout, 1, b"\n", &mut out);
        let lengths: Vec<_> = text(&out).iter().map(|(_, _, line)| line.len()).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, MAX_LINE / 2]);
        out.clear();
        lines.push(Lane::Stdout, 1, &[b'y'; MAX_LINE], &mut out);
        lines.push(Lane::Stdout, 1, b"\n", &mut out);
        assert_eq!(out.len(), 1, "a line that just fits is no two");
    }
}
