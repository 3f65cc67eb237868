//! Records as bytes, and as they lie in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use wire::stream::{Lane, MAX_DATA};

const HEADER: usize = 8;
const FIXED: usize = 17;

/// How much is read at once: a few of the longest records.
const CHUNK: usize = 4 * MAX_RECORD;

/// The longest record in a file. What a guest sends in one part is shorter; a longer part is cut.
const MAX_RECORD: usize = HEADER + FIXED + MAX_DATA;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a lane.
    Printed(Lane),
    /// A boot begins.
    Boot,
    /// The boot began in an earlier file.
    Continues,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Printed(Lane::Stdout) => 0,
            Self::Printed(Lane::Stderr) => 1,
            Self::Boot => 2,
            Self::Continues => 3,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Printed(Lane::Stdout)),
            1 => Some(Self::Printed(Lane::Stderr)),
            2 => Some(Self::Boot),
            3 => Some(Self::Continues),
            _ => None,
        }
    }
}

/// A record, its bytes borrowed from what was read or is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) unix_ns: u64,
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(HEADER + FIXED + self.bytes.len());
        payload.resize(HEADER, 0);
        payload.push(self.kind.byte());
        payload.extend(self.unix_ns.to_le_bytes());
        payload.extend(self.offset.to_le_bytes());
        payload.extend(self.bytes);
        let (header, body) = payload.split_at_mut(HEADER);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let sum = crc32c::crc32c(body).to_le_bytes();
        for (to, from) in header.iter_mut().zip(length.into_iter().chain(sum)) {
            *to = from;
        }
        payload
    }

    /// The record that `bytes` begin with and how long it is; `None` where they begin with no whole one.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let payload = rest.get(..length).filter(|_| length <= MAX_RECORD - HEADER)?;
        if crc32c::crc32c(payload) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (&[kind], payload) = payload.split_first_chunk()?;
        let (unix_ns, payload) = payload.split_first_chunk()?;
        let (offset, bytes) = payload.split_first_chunk()?;
        let record = Self {
            kind: Kind::of(kind)?,
            unix_ns: u64::from_le_bytes(*unix_ns),
            offset: u64::from_le_bytes(*offset),
            bytes,
        };
        Some((record, HEADER + length))
    }
}

/// Calls `take` with some of the whole records that lie at this place of a file, reading at most `most` bytes. Gives how
/// many bytes they are: none where no whole record follows.
pub(super) fn each(file: &File, at: u64, most: u64, mut take: impl FnMut(&Record<'_>)) -> io::Result<u64> {
    let mut chunk = vec![0; usize::try_from(most).unwrap_or(usize::MAX).min(CHUNK)];
    let mut filled = 0;
    while let Some(free) = chunk.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read_at(free, at + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    let mut rest = chunk.get(..filled).unwrap_or_default();
    while let Some((record, length)) = Record::decode(rest) {
        rest = rest.get(length..).unwrap_or_default();
        take(&record);
    }
    Ok((filled - rest.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_whole_or_not_at_all() {
        let record = Record {
            kind: Kind::Printed(Lane::Stderr),
            unix_ns: 7,
            offset: u64::MAX,
            bytes: b"a line\n",
        };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some((record, bytes.len())));
        for cut in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..cut]), None, "cut at {cut}");
            let mut damaged = bytes.clone();
            damaged[cut] ^= 0x10;
            assert_eq!(Record::decode(&damaged), None, "damaged at {cut}");
        }
    }
}
