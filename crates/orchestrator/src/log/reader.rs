//! One who reads a log, at its own pace.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wire::link::{LogEntry, LogRecord};

use super::lines::Lines;
use super::record::{Kind, Record, each};
use super::{file_path, sequences};

/// A place in a log. A clone reads on from the same place by itself.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    folder: PathBuf,
    /// Held open, so that it can be read to its end after the writer has removed it.
    file: Arc<File>,
    sequence: u64,
    at: u64,
    lines: Lines,
    /// The boot that was read last, and where its next part begins if nothing is lost.
    position: Option<(String, u64)>,
    /// Nothing beyond this file and length is read.
    until: Option<(u64, u64)>,
}

impl Reader {
    /// A reader at the beginning of a file; `None` where there is no such file any more.
    pub(super) fn open(folder: PathBuf, sequence: u64) -> io::Result<Option<Self>> {
        let file = match File::open(file_path(&folder, sequence)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self {
            folder,
            file: Arc::new(file),
            sequence,
            at: 0,
            lines: Lines::default(),
            position: None,
            until: None,
        }))
    }

    /// The same, ending at this length of this file.
    pub(super) fn until(mut self, end: (u64, u64)) -> Self {
        self.until = Some(end);
        self
    }

    /// The next records, a few at a time; none where there is nothing whole to read now.
    pub(super) fn read(&mut self) -> io::Result<Vec<LogRecord>> {
        let mut out = Vec::new();
        while out.is_empty() {
            if self.read_chunk(&mut out)? {
                continue;
            }
            let Some(next) = self.next_file()? else { break };
            // What was written between the two looks, before the next file began.
            if !self.read_chunk(&mut out)? {
                (self.file, self.sequence, self.at) = (next.file, next.sequence, 0);
            }
        }
        Ok(out)
    }

    /// The lines that have begun, for one who does not wait for their ends.
    pub(super) fn flush(&mut self) -> Vec<LogRecord> {
        let mut out = Vec::new();
        self.lines.flush(&mut out);
        out
    }

    fn next_file(&self) -> io::Result<Option<Self>> {
        let last = self.until.map_or(u64::MAX, |(sequence, _)| sequence);
        for sequence in sequences(&self.folder)? {
            if sequence > self.sequence
                && sequence <= last
                && let Some(next) = Self::open(self.folder.clone(), sequence)?
            {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Reads some records of the present file. Gives whether there was a whole one.
    fn read_chunk(&mut self, out: &mut Vec<LogRecord>) -> io::Result<bool> {
        let left = match self.until {
            Some((sequence, length)) if sequence == self.sequence => length.saturating_sub(self.at),
            Some(_) | None => u64::MAX,
        };
        let file = self.file.clone();
        let length = each(&file, self.at, left, |record| self.take(record, out))?;
        self.at += length;
        Ok(length > 0)
    }

    fn take(&mut self, record: &Record<'_>, out: &mut Vec<LogRecord>) {
        match record.kind {
            Kind::Boot => {
                self.lines.flush(out);
                self.boot(record, out);
            }
            Kind::Continues => self.continues(record, out),
            Kind::Printed(lane) => {
                self.arrive(record, out);
                self.lines.push(lane, record.unix_ns, record.bytes, out);
            }
        }
    }

    fn boot(&mut self, record: &Record<'_>, out: &mut Vec<LogRecord>) {
        let boot_id = String::from_utf8_lossy(record.bytes).into_owned();
        self.position = Some((boot_id.clone(), record.offset));
        out.push(LogRecord {
            unix_ns: record.unix_ns,
            entry: LogEntry::Boot { boot_id },
        });
    }

    /// The beginning of a file: files that went before it was reached are a gap, unless this is where reading begins.
    fn continues(&mut self, record: &Record<'_>, out: &mut Vec<LogRecord>) {
        match &self.position {
            None => {
                let boot_id = String::from_utf8_lossy(record.bytes).into_owned();
                self.position = Some((boot_id, record.offset));
            }
            Some((boot_id, _)) if boot_id.as_bytes() == record.bytes => self.arrive(record, out),
            Some(_) => {
                self.gap(record.unix_ns, None, out);
                self.boot(record, out);
            }
        }
    }

    /// Moves on to the end of a record, over the gap before it if there is one.
    fn arrive(&mut self, record: &Record<'_>, out: &mut Vec<LogRecord>) {
        let end = match record.kind {
            Kind::Printed(_) => record.offset.saturating_add(record.bytes.len() as u64),
            Kind::Boot | Kind::Continues => record.offset,
        };
        let Some((_, offset)) = &mut self.position else {
            return;
        };
        let lost = record.offset.saturating_sub(*offset);
        *offset = end;
        if lost > 0 {
            self.gap(record.unix_ns, Some(lost), out);
        }
    }

    fn gap(&mut self, unix_ns: u64, bytes: Option<u64>, out: &mut Vec<LogRecord>) {
        self.lines.flush(out);
        out.push(LogRecord {
            unix_ns,
            entry: LogEntry::Gap { bytes },
        });
    }
}
