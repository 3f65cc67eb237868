//! A copy of a file tree with everything that belongs to it: owners, modes, times, extended attributes, hard links.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::error::Error;

/// The first copy of each file that has several names, by device and inode.
type Links = HashMap<(u64, u64), PathBuf>;

/// Copies a directory. `to` must not be there.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    copy(from, to, &mut Links::new())
}

fn copy(from: &Path, to: &Path, links: &mut Links) -> Result<(), Error> {
    let failed = |source| Error::file("copy", from)(source);
    let found = from.symlink_metadata().map_err(failed)?;
    if !found.is_dir() && found.nlink() > 1 {
        if let Some(first) = links.get(&(found.dev(), found.ino())) {
            return fs::hard_link(first, to).map_err(failed);
        }
        links.insert((found.dev(), found.ino()), to.to_owned());
    }
    if found.is_dir() {
        fs::create_dir(to).map_err(failed)?;
        for entry in fs::read_dir(from).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            copy(&from.join(&name), &to.join(&name), links)?;
        }
    } else {
        make(from, to, &found).map_err(failed)?;
    }
    dress(from, to, &found).map_err(failed)
}

/// Anything but a directory.
fn make(from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        return fs::copy(from, to).map(drop);
    }
    let node = if kind.is_block_device() {
        FileType::BlockDevice
    } else if kind.is_char_device() {
        FileType::CharacterDevice
    } else if kind.is_fifo() {
        FileType::Fifo
    } else {
        FileType::Socket
    };
    Ok(rustix::fs::mknodat(CWD, to, node, Mode::RUSR, found.rdev())?)
}

/// The owner first: a change of owner takes set-id bits and capabilities away.
fn dress(from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
    lchown(to, Some(found.uid()), Some(found.gid()))?;
    if !found.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    for name in attributes(from)? {
        let mut value = vec![0; rustix::fs::lgetxattr_query(from, &name)?];
        let length = rustix::fs::lgetxattr(from, &name, &mut value)?;
        let value = value.get(..length).unwrap_or_default();
        rustix::fs::lsetxattr(to, &name, value, XattrFlags::empty())?;
    }
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(found.atime(), found.atime_nsec()),
        last_modification: time(found.mtime(), found.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The names of a file's extended attributes; none where the filesystem knows none.
fn attributes(path: &Path) -> io::Result<Vec<CString>> {
    let length = match rustix::fs::llistxattr_query(path) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut names = vec![0_u8; length];
    let length = rustix::fs::llistxattr(path, &mut names)?;
    let names = names.get(..length).unwrap_or_default();
    let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_its_original_by_its_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "content").unwrap();
        fs::hard_link(from.join("sub/file"), from.join("second")).unwrap();
        symlink("sub/nowhere", from.join("link")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(from.join("setuid"), "").unwrap();
        fs::set_permissions(from.join("setuid"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o1770)).unwrap();
        rustix::fs::lsetxattr(from.join("setuid"), "user.color", b"green", XattrFlags::empty()).unwrap();
        let old = Timespec {
            tv_sec: 86_400,
            tv_nsec: 5,
        };
        for name in ["sub/file", "link", "sub"] {
            let times = Timestamps {
                last_access: old,
                last_modification: old,
            };
            rustix::fs::utimensat(CWD, from.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        copy_tree(&from, &to).unwrap();
        let tell = |root: &Path, name: &str| {
            let found = root.join(name).symlink_metadata().unwrap();
            let times = (found.mtime(), found.mtime_nsec());
            (
                found.mode(),
                found.uid(),
                found.gid(),
                found.nlink(),
                times,
                found.len(),
            )
        };
        for name in ["", "sub", "sub/file", "second", "link", "pipe", "setuid"] {
            assert_eq!(tell(&to, name), tell(&from, name), "{name}");
        }
        assert_eq!(fs::read(to.join("second")).unwrap(), b"content");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/nowhere"));
        assert_eq!(
            attributes(&to.join("setuid")).unwrap(),
            [c"user.color".to_owned()]
        );
        let same = |name: &str| to.join(name).metadata().unwrap().ino();
        assert_eq!(same("second"), same("sub/file"));
    }
}
