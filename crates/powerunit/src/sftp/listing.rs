//! An open directory, read piece by piece: the client gets the first names of 100,000 before the last are looked up.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, open, statat};
use rustix::io::Errno;

use super::attributes::{Attributes, Times};
use super::codec::Put;
use super::failure::Failure;
use super::long_name::LongName;
use crate::accounts::Database;

/// Bytes of names in one reply. Every client takes packets of 34,000 bytes (section 3 of the draft), and an entry,
/// with its name twice, takes less than what is left.
const FULL: usize = 32 << 10;

/// Where a client is in a directory.
#[derive(Debug)]
pub(super) struct Listing(Dir);

/// The entries of one reply.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) count: u32,
    /// Each a name, a long name and attributes.
    pub(super) bytes: Vec<u8>,
}

impl Listing {
    pub(super) fn open(path: &[u8]) -> Result<Self, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self(Dir::new(open(path, flags, Mode::empty())?)?))
    }

    pub(super) fn descriptor(&self) -> Result<BorrowedFd<'_>, Failure> {
        Ok(self.0.fd()?)
    }

    /// The next entries, at least one; `Eof` behind the last.
    pub(super) fn read(&mut self, accounts: &Database, now: u32) -> Result<Entries, Failure> {
        let mut entries = Entries::default();
        while entries.bytes.len() < FULL {
            let Some(entry) = self.0.read() else { break };
            let entry = entry?;
            match statat(self.0.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.add(entry.file_name().to_bytes(), &stat, accounts, now),
                // Removed since.
                Err(Errno::NOENT) => {}
                // Who may read a directory and not search it may know the names.
                Err(_) => entries.add_name(entry.file_name().to_bytes()),
            }
        }
        if entries.count == 0 {
            return Err(Failure::Eof);
        }
        Ok(entries)
    }
}

impl Entries {
    /// One name without anything known of it, as an answer that is a path has it.
    pub(super) fn only(name: &[u8]) -> Self {
        let mut entries = Self::default();
        entries.add_name(name);
        entries
    }

    fn add_name(&mut self, name: &[u8]) {
        self.put(name, name, &Attributes::default());
    }

    fn add(&mut self, name: &[u8], stat: &Stat, accounts: &Database, now: u32) {
        let attributes = Attributes::from(stat);
        let line = LongName {
            mode: stat.st_mode,
            links: stat.st_nlink,
            user: &accounts.user_name(stat.st_uid),
            group: &accounts.group_name(stat.st_gid),
            size: attributes.size.unwrap_or(0),
            modified: attributes.times.map_or(0, |Times { modified, .. }| modified),
            name,
        };
        self.put(name, &line.line(now), &attributes);
    }

    fn put(&mut self, name: &[u8], long_name: &[u8], attributes: &Attributes) {
        self.bytes.put_string(name);
        self.bytes.put_string(long_name);
        attributes.put(&mut self.bytes);
        self.count = self.count.saturating_add(1);
    }
}
