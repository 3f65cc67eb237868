//! The one who writes a log: after each part the file ends with a whole record.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Arc;

use wire::guest::LogPart;
use wire::stream::MAX_DATA;

use super::record::{Kind, Record, each};
use super::{VmLog, file_path, sequences};

/// A guest says what it likes; the kernel's own are 36 bytes.
const LONGEST_BOOT_ID: usize = 64;

/// The files of a log, opened for writing. There is one such writer at a time: the end of the guest's channel.
#[derive(Debug)]
pub(crate) struct LogFiles {
    log: Arc<VmLog>,
    file: File,
    sequence: u64,
    length: u64,
    position: Option<Position>,
}

/// How far a log has come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    boot_id: String,
    /// Where the next part of this boot begins, if nothing is lost.
    offset: u64,
}

impl LogFiles {
    /// Opens the newest file, or makes the first. A record that a kill has cut is dropped.
    pub(crate) fn open(log: Arc<VmLog>) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&log.folder)?;
        for sequence in sequences(&log.folder)?.into_iter().rev() {
            let path = file_path(&log.folder, sequence);
            let file = OpenOptions::new().read(true).append(true).open(&path)?;
            let (length, position) = whole(&file)?;
            if length == 0 {
                fs::remove_file(&path)?;
                continue;
            }
            file.set_len(length)?;
            return Ok(Self {
                log,
                file,
                sequence,
                length,
                position,
            });
        }
        Ok(Self {
            file: make(&log, 1)?,
            log,
            sequence: 1,
            length: 0,
            position: None,
        })
    }

    /// Says which boot the parts that follow are of.
    pub(crate) fn boot(&mut self, boot_id: &str, unix_ns: u64) -> io::Result<()> {
        let end = boot_id.floor_char_boundary(LONGEST_BOOT_ID);
        let boot_id = boot_id.get(..end).unwrap_or_default();
        if self
            .position
            .as_ref()
            .is_some_and(|position| position.boot_id == boot_id)
        {
            return Ok(());
        }
        self.write(&Record {
            kind: Kind::Boot,
            unix_ns,
            offset: 0,
            bytes: boot_id.as_bytes(),
        })?;
        self.position = Some(Position {
            boot_id: boot_id.to_owned(),
            offset: 0,
        });
        Ok(())
    }

    /// Writes what is new of a part. After a failure the log must be opened again.
    pub(crate) fn append(&mut self, part: &LogPart) -> io::Result<()> {
        let Some(held) = self.held() else { return Ok(()) };
        let known = usize::try_from(held.saturating_sub(part.offset)).unwrap_or(usize::MAX);
        let new = part.bytes.get(known..).unwrap_or_default();
        let mut offset = part.offset.max(held);
        for bytes in new.chunks(MAX_DATA) {
            self.write(&Record {
                kind: Kind::Printed(part.lane),
                unix_ns: part.unix_ns,
                offset,
                bytes,
            })?;
            offset = offset.saturating_add(bytes.len() as u64);
            if let Some(position) = &mut self.position {
                position.offset = offset;
            }
        }
        Ok(())
    }

    /// All of this boot's log before this offset is held, or was lost on the way.
    pub(crate) fn held(&self) -> Option<u64> {
        self.position.as_ref().map(|position| position.offset)
    }

    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        let bytes = record.encode();
        if self.length > 0 && self.length + bytes.len() as u64 > self.log.limits.file_bytes {
            self.rotate(record.unix_ns)?;
        }
        self.file.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        self.log.grown.send_replace(());
        Ok(())
    }

    fn rotate(&mut self, unix_ns: u64) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let mut file = make(&self.log, sequence)?;
        let mut length = 0;
        if let Some(position) = &self.position {
            let record = Record {
                kind: Kind::Continues,
                unix_ns,
                offset: position.offset,
                bytes: position.boot_id.as_bytes(),
            };
            let bytes = record.encode();
            file.write_all(&bytes)?;
            length = bytes.len() as u64;
        }
        (self.file, self.sequence, self.length) = (file, sequence, length);
        let oldest = (sequence + 1).saturating_sub(self.log.limits.files.max(1));
        for old in sequences(&self.log.folder)? {
            if old < oldest {
                fs::remove_file(file_path(&self.log.folder, old))?;
            }
        }
        Ok(())
    }
}

/// A new file; one of that name that a kill left behind held nothing whole.
fn make(log: &VmLog, sequence: u64) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file_path(&log.folder, sequence))
}

/// How many bytes of a file are whole records, and how far these come.
fn whole(file: &File) -> io::Result<(u64, Option<Position>)> {
    let (mut length, mut position) = (0, None);
    loop {
        match each(file, length, u64::MAX, |record| go_on(&mut position, record))? {
            0 => return Ok((length, position)),
            more => length += more,
        }
    }
}

fn go_on(position: &mut Option<Position>, record: &Record<'_>) {
    match record.kind {
        Kind::Boot | Kind::Continues => {
            *position = Some(Position {
                boot_id: String::from_utf8_lossy(record.bytes).into_owned(),
                offset: record.offset,
            });
        }
        Kind::Printed(_) => {
            if let Some(position) = position {
                position.offset = record.offset.saturating_add(record.bytes.len() as u64);
            }
        }
    }
}
