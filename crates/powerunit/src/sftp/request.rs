//! What a client asks: packets become values here, whole or not at all (draft-ietf-secsh-filexfer-02 sections 4, 6
//! and 8; OpenSSH's PROTOCOL file, section 4, for the extensions).

use super::attributes::Attributes;
use super::codec::{Malformed, Reader};
use super::handles::Key;

const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;

/// The extensions and the versions of them that the greeting announces.
pub(super) const EXTENSIONS: [(&[u8], &[u8]); 9] = [
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"hardlink@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"lsetstat@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
    (b"expand-path@openssh.com", b"1"),
    (b"copy-data", b"1"),
];

/// One request. Paths are the client's bytes; relative ones count from where the session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: OpenFlags,
        attributes: Attributes,
    },
    Close(Key),
    Read {
        handle: Key,
        offset: u64,
        length: u32,
    },
    Write {
        handle: Key,
        offset: u64,
        data: &'a [u8],
    },
    Stat(Target<'a>),
    SetStat(Target<'a>, Attributes),
    OpenDir(&'a [u8]),
    ReadDir(Key),
    Remove(&'a [u8]),
    MakeDir {
        path: &'a [u8],
        attributes: Attributes,
    },
    RemoveDir(&'a [u8]),
    RealPath(&'a [u8]),
    Rename {
        from: &'a [u8],
        to: &'a [u8],
        replace: bool,
    },
    ReadLink(&'a [u8]),
    Symlink {
        text: &'a [u8],
        link: &'a [u8],
    },
    HardLink {
        from: &'a [u8],
        to: &'a [u8],
    },
    StatVfs(Target<'a>),
    Sync(Key),
    Limits,
    ExpandPath(&'a [u8]),
    Copy(Copy),
    /// A request, or an extension, of another version or server.
    Unknown,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// What the path leads to.
    Path(&'a [u8]),
    /// What has this path, be it a link.
    Link(&'a [u8]),
    Handle(Key),
}

/// copy-data (draft-ietf-secsh-filexfer-extensions-00 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) from: Key,
    pub(super) from_offset: u64,
    /// In bytes; 0 means up to the end of the file.
    pub(super) length: u64,
    pub(super) to: Key,
    pub(super) to_offset: u64,
}

/// The `pflags` of SSH_FXP_OPEN (section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenFlags(pub(super) u32);

impl OpenFlags {
    pub(super) const READ: u32 = 1;
    pub(super) const WRITE: u32 = 1 << 1;
    pub(super) const APPEND: u32 = 1 << 2;
    pub(super) const CREATE: u32 = 1 << 3;
    pub(super) const TRUNCATE: u32 = 1 << 4;
    pub(super) const EXCLUSIVE: u32 = 1 << 5;

    pub(super) fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// The client's greeting. Its version does not matter: a client that cannot speak 3 ends when it hears ours.
pub(super) fn parse_init(packet: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(packet);
    if reader.byte()? != INIT {
        return Err(Malformed::NotInit);
    }
    let _version = reader.u32()?;
    Ok(())
}

/// A request and the id to answer it under. Bytes behind a request are passed over, as OpenSSH's server does.
pub(super) fn parse(packet: &[u8]) -> Result<(u32, Request<'_>), Malformed> {
    let mut reader = Reader::new(packet);
    let (kind, id) = (reader.byte()?, reader.u32()?);
    Ok((id, body(kind, &mut reader)?))
}

fn body<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Request<'a>, Malformed> {
    Ok(match kind {
        OPEN => Request::Open {
            path: reader.string()?,
            flags: OpenFlags(reader.u32()?),
            attributes: Attributes::parse(reader)?,
        },
        CLOSE => Request::Close(handle(reader)?),
        READ => Request::Read {
            handle: handle(reader)?,
            offset: reader.u64()?,
            length: reader.u32()?,
        },
        WRITE => Request::Write {
            handle: handle(reader)?,
            offset: reader.u64()?,
            data: reader.string()?,
        },
        LSTAT => Request::Stat(Target::Link(reader.string()?)),
        FSTAT => Request::Stat(Target::Handle(handle(reader)?)),
        STAT => Request::Stat(Target::Path(reader.string()?)),
        SETSTAT => Request::SetStat(Target::Path(reader.string()?), Attributes::parse(reader)?),
        FSETSTAT => Request::SetStat(Target::Handle(handle(reader)?), Attributes::parse(reader)?),
        OPENDIR => Request::OpenDir(reader.string()?),
        READDIR => Request::ReadDir(handle(reader)?),
        REMOVE => Request::Remove(reader.string()?),
        MKDIR => Request::MakeDir {
            path: reader.string()?,
            attributes: Attributes::parse(reader)?,
        },
        RMDIR => Request::RemoveDir(reader.string()?),
        REALPATH => Request::RealPath(reader.string()?),
        RENAME => Request::Rename {
            from: reader.string()?,
            to: reader.string()?,
            replace: false,
        },
        READLINK => Request::ReadLink(reader.string()?),
        // The draft says the other order. OpenSSH took this one by mistake, and every client followed.
        SYMLINK => Request::Symlink {
            text: reader.string()?,
            link: reader.string()?,
        },
        EXTENDED => extension(reader)?,
        _ => Request::Unknown,
    })
}

fn extension<'a>(reader: &mut Reader<'a>) -> Result<Request<'a>, Malformed> {
    Ok(match reader.string()? {
        b"posix-rename@openssh.com" => Request::Rename {
            from: reader.string()?,
            to: reader.string()?,
            replace: true,
        },
        b"statvfs@openssh.com" => Request::StatVfs(Target::Path(reader.string()?)),
        b"fstatvfs@openssh.com" => Request::StatVfs(Target::Handle(handle(reader)?)),
        b"hardlink@openssh.com" => Request::HardLink {
            from: reader.string()?,
            to: reader.string()?,
        },
        b"fsync@openssh.com" => Request::Sync(handle(reader)?),
        b"lsetstat@openssh.com" => {
            Request::SetStat(Target::Link(reader.string()?), Attributes::parse(reader)?)
        }
        b"limits@openssh.com" => Request::Limits,
        b"expand-path@openssh.com" => Request::ExpandPath(reader.string()?),
        b"copy-data" => Request::Copy(Copy {
            from: handle(reader)?,
            from_offset: reader.u64()?,
            length: reader.u64()?,
            to: handle(reader)?,
            to_offset: reader.u64()?,
        }),
        _ => Request::Unknown,
    })
}

fn handle(reader: &mut Reader<'_>) -> Result<Key, Malformed> {
    reader.string().map(Key::from_bytes)
}

#[cfg(test)]
mod tests;
