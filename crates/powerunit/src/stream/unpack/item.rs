//! What an archive's entry says.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Dev, FileType, Gid, Mode, Timespec, Uid, makedev};
use tar::{Entry, EntryType, Header};

use crate::stream::failure::Error;

/// One file to be made.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: PathBuf,
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
}

#[derive(Debug)]
pub(super) enum Kind {
    Folder,
    /// Its content is the rest of the entry.
    File,
    Link(PathBuf),
    Symlink(PathBuf),
    Node(FileType, Dev),
}

/// What an archive says of every kind of file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) owner: (Uid, Gid),
    pub(super) mode: Mode,
    pub(super) modified: Timespec,
}

impl Item {
    /// `None` for an entry that is no file, such as a comment on all that follow.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list grows; a kind that is not known here is refused, not guessed"
    )]
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> Result<Option<Self>, Error> {
        let name = path(&entry.path_bytes());
        let target = entry.link_name_bytes().map(|target| path(&target));
        let linked =
            |target: Option<PathBuf>| target.ok_or_else(|| Error::Archive(io::ErrorKind::InvalidData.into()));
        let kind = match entry.header().entry_type() {
            EntryType::XGlobalHeader => return Ok(None),
            EntryType::Directory => Kind::Folder,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Link => Kind::Link(linked(target)?),
            EntryType::Symlink => Kind::Symlink(linked(target)?),
            EntryType::Fifo => Kind::Node(FileType::Fifo, 0),
            EntryType::Char => Kind::Node(FileType::CharacterDevice, device(entry.header())?),
            EntryType::Block => Kind::Node(FileType::BlockDevice, device(entry.header())?),
            _ => return Err(Error::UnknownKind(name)),
        };
        let attributes = Attributes::of(entry).map_err(Error::Archive)?;
        Ok(Some(Self {
            name,
            kind,
            attributes,
        }))
    }
}

impl Attributes {
    fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Self> {
        let exact = modified(entry)?;
        let header = entry.header();
        let seconds = i64::try_from(header.mtime()?).unwrap_or(0);
        let id = |number: u64| u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        Ok(Self {
            owner: (
                Uid::from_raw(id(header.uid()?)?),
                Gid::from_raw(id(header.gid()?)?),
            ),
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            modified: exact.unwrap_or(Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            }),
        })
    }
}

/// The time of a pax record, which may have a fraction and a sign.
fn modified<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Option<Timespec>> {
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        if record.key_bytes() == b"mtime" {
            return Ok(record.value().ok().and_then(time));
        }
    }
    Ok(None)
}

/// Pure: `-1.5` is half a second after the second before the last before 1970.
fn time(text: &str) -> Option<Timespec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    let (tv_sec, tv_nsec) = if whole.starts_with('-') && nanoseconds > 0 {
        (
            seconds.checked_sub(1)?,
            1_000_000_000_i64.checked_sub(nanoseconds)?,
        )
    } else {
        (seconds, nanoseconds)
    };
    Some(Timespec { tv_sec, tv_nsec })
}

fn device(header: &Header) -> Result<Dev, Error> {
    let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default).map_err(Error::Archive);
    Ok(makedev(
        number(header.device_major())?,
        number(header.device_minor())?,
    ))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_signs() {
        let at = |tv_sec, tv_nsec| Some(Timespec { tv_sec, tv_nsec });
        for (text, expected) in [
            ("12", at(12, 0)),
            ("12.000000005", at(12, 5)),
            ("12.5", at(12, 500_000_000)),
            ("12.1234567899", at(12, 123_456_789)),
            ("-1.5", at(-2, 500_000_000)),
            ("-0.25", at(-1, 750_000_000)),
            ("-3", at(-3, 0)),
            ("soon", None),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }
}
