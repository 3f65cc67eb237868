//! Files to a tar archive (POSIX.1-2001 pax).
//!
//! The tree is walked by descriptors, never by paths: a directory that is moved away or replaced by a link meanwhile
//! leads nowhere else, and no path is too long. The archive's names begin with the last part of the path.
//!
//! A tree that is in use stays in motion. What vanishes between listing and reading is left out, and a file that
//! shrinks while it is read is filled up with zeros, for its length has been said by then; one that grows is cut. Sockets
//! are left out, and so is the content of the kernel's own filesystems, such as /proc below /.

mod entry;

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::failure::Error;
use super::files::{ArchiveOut, absolute};
use super::link::Link;
use entry::{Entry, Kind};

/// Filesystems that are windows into the kernel: what lies in them is no file (statfs(2)).
const OF_KERNEL: [i64; 13] = [
    0x9fa0,                 // proc
    0x6265_6572,            // sysfs
    0x6367_7270,            // cgroup v2
    0x0027_e0eb,            // cgroup v1
    0x1cd1,                 // devpts
    0x6462_6720,            // debugfs
    0x7472_6163,            // tracefs
    0x7363_6673,            // securityfs
    0xcafe_4a11_u32 as i64, // bpf
    0x6165_676c,            // pstore
    0xde5e_81e4_u32 as i64, // efivarfs
    0x1980_0202,            // mqueue
    0x4249_4e4d,            // binfmt_misc
];

/// Sends the archive of what stands at a path.
pub(super) fn run(path: &str, link: &mut Link) -> Result<(), Error> {
    let path = absolute(path)?;
    let (parent, name) = split(path)?;
    let mut packer = Packer::new(ArchiveOut(link), path);
    packer.pack(parent, &name)?;
    packer.finish()
}

/// The directory that something stands in, and its name there; the root stands in itself.
fn split(path: &Path) -> Result<(OwnedFd, CString), Error> {
    let failed = |errno| Error::file("read", path)(errno);
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        // It ends with `..`, or is the root.
        None => std::fs::canonicalize(path).map_err(|source| Error::File {
            operation: "read",
            path: path.to_owned(),
            source,
        })?,
    };
    let name = whole.file_name().unwrap_or(OsStr::new("."));
    let parent = openat(CWD, whole.parent().unwrap_or(&whole), DIRECTORY, Mode::empty()).map_err(failed)?;
    let name = CString::new(name.as_bytes()).map_err(|_| failed(Errno::INVAL))?;
    Ok((parent, name))
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// A directory whose content is on its way.
struct Folder {
    fd: OwnedFd,
    names: std::vec::IntoIter<CString>,
    /// Its name in the archive.
    name: Vec<u8>,
    device: u64,
}

struct Packer<'a> {
    archive: tar::Builder<BufWriter<ArchiveOut<'a>>>,
    /// The first name of each file that has several.
    first_names: HashMap<(u64, u64), Vec<u8>>,
    /// For sentences.
    path: &'a Path,
}

impl<'a> Packer<'a> {
    fn new(out: ArchiveOut<'a>, path: &'a Path) -> Self {
        Self {
            archive: tar::Builder::new(BufWriter::with_capacity(32 * 1024, out)),
            first_names: HashMap::new(),
            path,
        }
    }

    fn pack(&mut self, parent: OwnedFd, name: &CStr) -> Result<(), Error> {
        // The one that was asked for must be there.
        let stat =
            statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::file("read", self.path))?;
        let mut open = Vec::new();
        open.extend(self.add(parent.as_fd(), name, name.to_bytes().to_vec(), stat.st_dev)?);
        while let Some(folder) = open.last_mut() {
            let Some(name) = folder.names.next() else {
                open.pop();
                continue;
            };
            let whole = [folder.name.as_slice(), b"/", name.to_bytes()].concat();
            let inner = self.add(folder.fd.as_fd(), &name, whole, folder.device)?;
            open.extend(inner);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        self.archive.finish().map_err(|_| Error::Closed)?;
        self.archive.get_mut().flush().map_err(|_| Error::Closed)
    }

    /// Adds one name. A directory is returned, to be gone through next.
    fn add(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        whole: Vec<u8>,
        device: u64,
    ) -> Result<Option<Folder>, Error> {
        let Some(stat) = self.unless_gone(&whole, statat(parent, name, AtFlags::SYMLINK_NOFOLLOW))? else {
            return Ok(None);
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.add_folder(parent, name, whole, device),
            FileType::RegularFile => self.add_file(parent, name, whole, &stat)?,
            FileType::Symlink => {
                if let Some(target) = self.unless_gone(&whole, readlinkat(parent, name, Vec::new()))? {
                    self.say(&Entry::new(whole, &stat, Kind::Symlink(target.into_bytes())))?;
                }
            }
            FileType::Fifo => self.say(&Entry::new(whole, &stat, Kind::Fifo))?,
            FileType::CharacterDevice => self.say(&Entry::new(whole, &stat, Kind::Character))?,
            FileType::BlockDevice => self.say(&Entry::new(whole, &stat, Kind::Block))?,
            FileType::Socket | FileType::Unknown => {}
        }
        Ok(None)
    }

    fn add_folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        whole: Vec<u8>,
        device: u64,
    ) -> Result<Option<Folder>, Error> {
        let opened = openat(parent, name, DIRECTORY.union(OFlags::NOFOLLOW), Mode::empty());
        let Some(fd) = self.unless_gone(&whole, opened)? else {
            return Ok(None);
        };
        let failed = |errno| Error::file("read", path_of(&whole))(errno);
        let stat = fstat(&fd).map_err(failed)?;
        self.say(&Entry::new(whole.clone(), &stat, Kind::Folder))?;
        if stat.st_dev != device && is_of_kernel(&fd) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        Ok(Some(Folder {
            fd,
            names: names.into_iter(),
            name: whole,
            device: stat.st_dev,
        }))
    }

    fn add_file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        whole: Vec<u8>,
        stat: &Stat,
    ) -> Result<(), Error> {
        let identity = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.first_names.get(&identity).cloned() {
                return self.say(&Entry::new(whole, stat, Kind::Link(first)));
            }
            self.first_names.insert(identity, whole.clone());
        }
        // Not waiting, should a pipe have taken its place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Some(fd) = self.unless_gone(&whole, openat(parent, name, flags, Mode::empty()))? else {
            return Ok(());
        };
        let stat = fstat(&fd).map_err(Error::file("read", path_of(&whole)))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        self.say(&Entry::new(whole.clone(), &stat, Kind::File(length)))?;
        self.copy(File::from(fd), length, &whole)
    }

    /// Sends exactly so many bytes, and what fills the last block.
    fn copy(&mut self, mut file: File, length: u64, whole: &[u8]) -> Result<(), Error> {
        let mut buffer = [0; 16 * 1024];
        let mut left = length;
        let mut at_end = false;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            let count = if at_end {
                part.fill(0);
                part.len()
            } else {
                read(&mut file, part).map_err(|source| Error::File {
                    operation: "read",
                    path: path_of(whole),
                    source,
                })?
            };
            at_end |= count == 0;
            self.write(part.get(..count).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(count).unwrap_or(left));
        }
        let filler = length.next_multiple_of(entry::BLOCK).saturating_sub(length);
        let filler = usize::try_from(filler).unwrap_or(0);
        buffer.fill(0);
        self.write(buffer.get(..filler).unwrap_or_default())
    }

    fn say(&mut self, entry: &Entry) -> Result<(), Error> {
        entry.write(&mut self.archive).map_err(|_| Error::Closed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.archive.get_mut().write_all(bytes).map_err(|_| Error::Closed)
    }

    /// `None` when it is not there any more, or is something else by now.
    fn unless_gone<T>(&self, whole: &[u8], result: rustix::io::Result<T>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => Ok(None),
            Err(errno) => Err(Error::file("read", path_of(whole))(errno)),
        }
    }
}

fn read(file: &mut File, part: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match file.read(part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn path_of(whole: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(whole))
}

fn is_of_kernel(folder: &OwnedFd) -> bool {
    fstatfs(folder).is_ok_and(|found| OF_KERNEL.contains(&found.f_type))
}
