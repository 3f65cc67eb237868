//! What is known or wanted of a file: ATTRS (draft-ietf-secsh-filexfer-02 section 5).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chmod, chmodat, chownat,
    fchmod, fchown, fstat, ftruncate, futimens, open, utimensat,
};

use super::codec::{Malformed, Put, Reader};
use super::failure::Failure;

const SIZE: u32 = 1;
const OWNER: u32 = 1 << 1;
const MODE: u32 = 1 << 2;
const TIMES: u32 = 1 << 3;
const EXTENDED: u32 = 1 << 31;

/// The attributes that a packet names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// In bytes.
    pub(super) size: Option<u64>,
    /// User and group.
    pub(super) owner: Option<(u32, u32)>,
    /// Type and permissions, as in stat(2).
    pub(super) mode: Option<u32>,
    pub(super) times: Option<Times>,
}

/// Seconds since 1970, which version 3 carries without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) accessed: u32,
    pub(super) modified: u32,
}

impl Attributes {
    /// Attributes of an extension that nobody knows are passed over.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = reader.u32()?;
        let mut attributes = Self::default();
        if flags & SIZE != 0 {
            attributes.size = Some(reader.u64()?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((reader.u32()?, reader.u32()?));
        }
        if flags & MODE != 0 {
            attributes.mode = Some(reader.u32()?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some(Times {
                accessed: reader.u32()?,
                modified: reader.u32()?,
            });
        }
        if flags & EXTENDED != 0 {
            // A hostile count ends with the packet, since each pair takes its eight bytes.
            for _ in 0..reader.u32()? {
                let (_name, _value) = (reader.string()?, reader.string()?);
            }
        }
        Ok(attributes)
    }

    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        let flag = |present, flag| if present { flag } else { 0 };
        packet.put_u32(
            flag(self.size.is_some(), SIZE)
                | flag(self.owner.is_some(), OWNER)
                | flag(self.mode.is_some(), MODE)
                | flag(self.times.is_some(), TIMES),
        );
        if let Some(size) = self.size {
            packet.put_u64(size);
        }
        if let Some((user, group)) = self.owner {
            packet.put_u32(user);
            packet.put_u32(group);
        }
        if let Some(mode) = self.mode {
            packet.put_u32(mode);
        }
        if let Some(times) = self.times {
            packet.put_u32(times.accessed);
            packet.put_u32(times.modified);
        }
    }

    /// The permissions to make something with, where the client names any.
    pub(super) fn permissions(&self) -> Option<Mode> {
        self.mode.map(permissions)
    }
}

impl From<&Stat> for Attributes {
    fn from(stat: &Stat) -> Self {
        Self {
            size: Some(stat.st_size.try_into().unwrap_or(0)),
            owner: Some((stat.st_uid, stat.st_gid)),
            mode: Some(stat.st_mode),
            times: Some(Times {
                accessed: seconds(stat.st_atime),
                modified: seconds(stat.st_mtime),
            }),
        }
    }
}

/// The nearest time that version 3 can say.
fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

/// Sets what is named on an open file. Times come last, since a new size changes them; the owner comes before the
/// mode, since a new owner drops the set-user-id bit.
pub(super) fn set_open(file: impl AsFd, wanted: &Attributes) -> Result<(), Failure> {
    if let Some(size) = wanted.size {
        ftruncate(&file, size)?;
    }
    if let Some((user, group)) = wanted.owner {
        fchown(&file, uid(user), gid(group))?;
    }
    if let Some(mode) = wanted.mode {
        fchmod(&file, permissions(mode))?;
    }
    if let Some(times) = wanted.times {
        futimens(&file, &times.into())?;
    }
    Ok(())
}

/// The same by path, in the same order. With `SYMLINK_NOFOLLOW` a link itself is meant.
pub(super) fn set_named(path: &[u8], wanted: &Attributes, how: AtFlags) -> Result<(), Failure> {
    if let Some(size) = wanted.size {
        let mut flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, how.contains(AtFlags::SYMLINK_NOFOLLOW));
        ftruncate(open(path, flags, Mode::empty())?, size)?;
    }
    if let Some((user, group)) = wanted.owner {
        chownat(CWD, path, uid(user), gid(group), how)?;
    }
    if let Some(mode) = wanted.mode {
        if how.contains(AtFlags::SYMLINK_NOFOLLOW) {
            set_mode_of_link(path, permissions(mode))?;
        } else {
            chmodat(CWD, path, permissions(mode), how)?;
        }
    }
    if let Some(times) = wanted.times {
        utimensat(CWD, path, &times.into(), how)?;
    }
    Ok(())
}

/// A link has no mode on Linux, but what is not a link may be named in this way too. Kernels before 6.6 have no call
/// that refuses to follow, so the path is opened without following, and the mode set on what that found.
fn set_mode_of_link(path: &[u8], mode: Mode) -> Result<(), Failure> {
    let found = open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
        return Err(Failure::System(io::ErrorKind::Unsupported.into()));
    }
    Ok(chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), mode)?)
}

/// The highest number means "as it is" (chown(2)).
fn uid(number: u32) -> Option<Uid> {
    (number != u32::MAX).then(|| Uid::from_raw(number))
}

fn gid(number: u32) -> Option<Gid> {
    (number != u32::MAX).then(|| Gid::from_raw(number))
}

impl From<Times> for Timestamps {
    fn from(times: Times) -> Self {
        let at = |seconds: u32| Timespec {
            tv_sec: seconds.into(),
            tv_nsec: 0,
        };
        Self {
            last_access: at(times.accessed),
            last_modification: at(times.modified),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any that a client may send.
    pub(in crate::sftp) fn attributes() -> impl Strategy<Value = Attributes> {
        let times = any::<(u32, u32)>().prop_map(|(accessed, modified)| Times { accessed, modified });
        (
            any::<Option<u64>>(),
            any::<Option<(u32, u32)>>(),
            any::<Option<u32>>(),
            proptest::option::of(times),
        )
            .prop_map(|(size, owner, mode, times)| Attributes {
                size,
                owner,
                mode,
                times,
            })
    }

    proptest! {
        #[test]
        fn attributes_come_back_as_they_were(attributes in attributes()) {
            let mut packet = Vec::new();
            attributes.put(&mut packet);
            prop_assert_eq!(Attributes::parse(&mut Reader::new(&packet)), Ok(attributes));
        }
    }

    #[test]
    fn extended_attributes_are_passed_over_and_a_hostile_count_ends_with_the_packet() {
        let mut packet = Vec::new();
        packet.put_u32(EXTENDED | MODE);
        packet.put_u32(0o644);
        packet.put_u32(1);
        packet.put_string(b"name@example.org");
        packet.put_string(b"value");
        let parsed = Attributes::parse(&mut Reader::new(&packet)).unwrap();
        assert_eq!(parsed.mode, Some(0o644));
        let mut hostile = Vec::new();
        hostile.put_u32(EXTENDED);
        hostile.put_u32(u32::MAX);
        assert_eq!(
            Attributes::parse(&mut Reader::new(&hostile)),
            Err(Malformed::Truncated)
        );
    }

    #[test]
    fn times_before_1970_and_after_2106_are_the_nearest_that_can_be_said() {
        assert_eq!((seconds(-1), seconds(7), seconds(i64::MAX)), (0, 7, u32::MAX));
    }
}
