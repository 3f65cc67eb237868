//! One session's state, and what each request does with it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Mode, fstat, fstatvfs, fsync, link, lstat, mkdir, rmdir, stat, statvfs, symlink, unlink,
};

use super::attributes::{self, Attributes};
use super::failure::Failure;
use super::file::{self, Span};
use super::handles::{Handle, Handles};
use super::listing::{Entries, Listing};
use super::path;
use super::reply::Reply;
use super::request::{Copy, Request, Target};
use crate::accounts::Database;

/// What a session remembers between two requests.
#[derive(Debug, Default)]
pub(super) struct Server {
    handles: Handles,
    accounts: Database,
    /// Bytes of a file on their way; grows to one packet.
    buffer: Vec<u8>,
}

impl Server {
    /// Does it, and says how it went.
    pub(super) fn answer(&mut self, request: Request<'_>) -> Reply<'_> {
        self.perform(request).unwrap_or_else(Reply::Failed)
    }

    fn perform(&mut self, request: Request<'_>) -> Result<Reply<'_>, Failure> {
        let done = |()| Reply::Done;
        let name = |path: Vec<u8>| Reply::Names(Entries::only(&path));
        match request {
            Request::Open {
                path,
                flags,
                attributes,
            } => self.keep(Handle::File(file::open(path, flags, &attributes)?)),
            Request::Close(handle) => self.handles.close(handle).map(done),
            Request::Read {
                handle,
                offset,
                length,
            } => file::read(self.handles.file(handle)?, offset, length, &mut self.buffer).map(Reply::Data),
            Request::Write { handle, offset, data } => {
                file::write(self.handles.file(handle)?, offset, data).map(done)
            }
            Request::Stat(target) => self.stat(target),
            Request::SetStat(target, wanted) => self.set_stat(target, &wanted).map(done),
            Request::OpenDir(path) => self.open_directory(path),
            Request::ReadDir(handle) => {
                let listing = self.handles.directory(handle)?;
                listing.read(&self.accounts, now()).map(Reply::Names)
            }
            Request::Remove(path) => Ok(unlink(path).map(done)?),
            Request::MakeDir { path, attributes } => {
                let mode = attributes.permissions().unwrap_or(Mode::from_raw_mode(0o777));
                Ok(mkdir(path, mode).map(done)?)
            }
            Request::RemoveDir(path) => Ok(rmdir(path).map(done)?),
            Request::RealPath(path) => path::real(path).map(name),
            Request::ExpandPath(path) => path::expand(path).map(name),
            Request::Rename { from, to, replace } => path::rename(from, to, replace).map(done),
            Request::ReadLink(path) => path::read_link(path).map(name),
            Request::Symlink { text, link } => Ok(symlink(text, link).map(done)?),
            Request::HardLink { from, to } => Ok(link(from, to).map(done)?),
            Request::StatVfs(target) => self.file_system(target),
            Request::Sync(handle) => Ok(fsync(self.handles.file(handle)?).map(done)?),
            Request::Limits => Ok(Reply::Limits),
            Request::Copy(copy) => self.copy(copy).map(done),
            Request::Unknown => Err(Failure::Unsupported),
        }
    }

    fn keep(&mut self, handle: Handle) -> Result<Reply<'static>, Failure> {
        self.handles.add(handle).map(Reply::Handle)
    }

    /// Names are read again for each listing, so a user made a moment ago has one.
    fn open_directory(&mut self, path: &[u8]) -> Result<Reply<'static>, Failure> {
        let listing = Listing::open(path)?;
        self.accounts = Database::read();
        self.keep(Handle::Directory(listing))
    }

    fn stat(&self, target: Target<'_>) -> Result<Reply<'static>, Failure> {
        let found = match target {
            Target::Path(path) => stat(path)?,
            Target::Link(path) => lstat(path)?,
            Target::Handle(handle) => fstat(self.handles.descriptor(handle)?)?,
        };
        Ok(Reply::Attributes(Attributes::from(&found)))
    }

    fn set_stat(&self, target: Target<'_>, wanted: &Attributes) -> Result<(), Failure> {
        match target {
            Target::Path(path) => attributes::set_named(path, wanted, AtFlags::empty()),
            Target::Link(path) => attributes::set_named(path, wanted, AtFlags::SYMLINK_NOFOLLOW),
            Target::Handle(handle) => attributes::set_open(self.handles.descriptor(handle)?, wanted),
        }
    }

    fn file_system(&self, target: Target<'_>) -> Result<Reply<'static>, Failure> {
        Ok(Reply::FileSystem(match target {
            Target::Path(path) | Target::Link(path) => statvfs(path)?,
            Target::Handle(handle) => fstatvfs(self.handles.descriptor(handle)?)?,
        }))
    }

    fn copy(&mut self, wanted: Copy) -> Result<(), Failure> {
        let span = Span {
            from_offset: wanted.from_offset,
            to_offset: wanted.to_offset,
            length: if wanted.length == 0 {
                u64::MAX
            } else {
                wanted.length
            },
        };
        let (from, to) = (self.handles.file(wanted.from)?, self.handles.file(wanted.to)?);
        file::copy(from, to, span, &mut self.buffer)
    }
}

/// Seconds since 1970; a clock before that shows every date with its year.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
