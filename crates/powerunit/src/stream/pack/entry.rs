//! One entry of an archive: its header, and the pax records for what a header cannot hold.

use std::io::{self, Write};

use rustix::fs::{Stat, major, minor};
use tar::{EntryType, Header};

/// The unit of an archive, bytes.
pub(super) const BLOCK: u64 = 512;

/// The longest name that a header holds without a prefix.
const LONGEST: usize = 100;

/// What stands under a name.
#[derive(Debug)]
pub(super) enum Kind {
    Folder,
    /// With its length, which its content must follow.
    File(u64),
    /// The same file as under an earlier name.
    Link(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Character,
    Block,
}

/// A name with everything that is said of it.
#[derive(Debug)]
pub(super) struct Entry {
    header: Header,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl Entry {
    pub(super) fn new(mut name: Vec<u8>, stat: &Stat, kind: Kind) -> Self {
        let mut entry = Self {
            header: Header::new_ustar(),
            records: Vec::new(),
        };
        if matches!(kind, Kind::Folder) {
            name.push(b'/');
        }
        entry.name(name);
        entry.kind(kind, stat);
        entry.header.set_mode(stat.st_mode & 0o7777);
        entry.header.set_uid(u64::from(stat.st_uid));
        entry.header.set_gid(u64::from(stat.st_gid));
        entry.time(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0));
        entry.header.set_cksum();
        entry
    }

    /// Writes records and header.
    pub(super) fn write<W: Write>(&self, archive: &mut tar::Builder<W>) -> io::Result<()> {
        if !self.records.is_empty() {
            let records = self.records.iter().map(|(key, value)| (*key, value.as_slice()));
            archive.append_pax_extensions(records)?;
        }
        archive.get_mut().write_all(self.header.as_bytes())
    }

    fn name(&mut self, name: Vec<u8>) {
        let length = name.len().min(LONGEST);
        if let (Some(to), Some(from)) = (
            self.header.as_old_mut().name.get_mut(..length),
            name.get(..length),
        ) {
            to.copy_from_slice(from);
        }
        if name.len() > LONGEST {
            self.records.push(("path", name));
        }
    }

    fn kind(&mut self, kind: Kind, stat: &Stat) {
        let header = &mut self.header;
        header.set_size(0);
        match kind {
            Kind::Folder => header.set_entry_type(EntryType::Directory),
            Kind::File(length) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(length);
            }
            Kind::Link(first) => {
                header.set_entry_type(EntryType::Link);
                self.link(first);
            }
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.link(target);
            }
            Kind::Fifo => header.set_entry_type(EntryType::Fifo),
            Kind::Character => self.device(EntryType::Char, stat),
            Kind::Block => self.device(EntryType::Block, stat),
        }
    }

    fn link(&mut self, to: Vec<u8>) {
        if self.header.set_link_name_literal(&to).is_err() {
            self.records.push(("linkpath", to));
        }
    }

    fn device(&mut self, kind: EntryType, stat: &Stat) {
        self.header.set_entry_type(kind);
        // A ustar header has both fields.
        let _ = self.header.set_device_major(major(stat.st_rdev));
        let _ = self.header.set_device_minor(minor(stat.st_rdev));
    }

    /// A header holds whole seconds from 1970 on.
    fn time(&mut self, seconds: i64, nanoseconds: u32) {
        self.header.set_mtime(u64::try_from(seconds).unwrap_or(0));
        if seconds < 0 || nanoseconds > 0 {
            self.records
                .push(("mtime", decimal(seconds, nanoseconds).into_bytes()));
        }
    }
}

/// Pure: seconds since 1970 with their fraction. Before 1970 the kernel counts nanoseconds up from the second below.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    match (seconds, nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (seconds, nanoseconds) if seconds >= 0 => format!("{seconds}.{nanoseconds:09}"),
        (seconds, nanoseconds) => {
            let whole = seconds.saturating_add(1).unsigned_abs();
            let fraction = 1_000_000_000_u32.saturating_sub(nanoseconds);
            format!("-{whole}.{fraction:09}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_have_their_sign() {
        assert_eq!(decimal(12, 0), "12");
        assert_eq!(decimal(12, 5), "12.000000005");
        assert_eq!(decimal(-2, 500_000_000), "-1.500000000");
        assert_eq!(decimal(-1, 750_000_000), "-0.250000000");
        assert_eq!(decimal(-3, 0), "-3");
    }
}
