//! The names inside one directory.
//!
//! A name of an archive is resolved by the kernel, beneath the directory and nowhere else (openat2(2)), at the moment it
//! is used: whatever links the archive, or somebody else meanwhile, has put there, nothing leads out. Under `/` nothing
//! is outside, so there an absolute link, such as /var/run, leads where it says.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;

use crate::stream::failure::Error;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The directory that an archive is unpacked into.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    resolve: ResolveFlags,
}

/// A name in a directory of the tree. It may be taken or free.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: CString,
}

impl Tree {
    /// The directory at a path, which must be there.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let root =
            openat(CWD, path, FOLDER, Mode::empty()).map_err(Error::file("open the directory", path))?;
        let is_root = path.components().all(|part| part == Component::RootDir);
        let resolve = if is_root {
            ResolveFlags::IN_ROOT
        } else {
            ResolveFlags::BENEATH
        };
        Ok(Self {
            root,
            resolve: resolve.union(ResolveFlags::NO_MAGICLINKS),
        })
    }

    /// Where a name of the archive stands, with the directories above it made where they are missing. `None` for the
    /// directory itself.
    pub(super) fn place(&self, name: &Path) -> Result<Option<Place>, Error> {
        let parts = parts(name)?;
        let Some((last, above)) = parts.split_last() else {
            return Ok(None);
        };
        let folder = self.folder(above).map_err(|errno| match errno {
            Errno::XDEV => Error::Outside(name.to_owned()),
            errno => Error::file("make", name)(errno),
        })?;
        let last = CString::new(last.as_bytes()).map_err(|_| Error::file("make", name)(Errno::INVAL))?;
        Ok(Some(Place { folder, name: last }))
    }

    /// Makes the directory, or keeps the one that is there, also behind a link.
    pub(super) fn make_folder(&self, place: &Place, name: &Path) -> Result<(), Error> {
        let made = match mkdirat(&place.folder, &place.name, Mode::RWXU) {
            Err(Errno::EXIST) => match self.open_folder(name) {
                Ok(_) => Ok(()),
                Err(Errno::XDEV) => return Err(Error::Outside(name.to_owned())),
                Err(_) => place
                    .clear()
                    .and_then(|()| mkdirat(&place.folder, &place.name, Mode::RWXU)),
            },
            made => made,
        };
        made.map_err(Error::file("make", name))
    }

    fn folder(&self, above: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        let path: PathBuf = above.iter().collect();
        match self.open_folder(&path) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        let mut made = PathBuf::new();
        let mut folder = self.open_folder(&made)?;
        for part in above {
            made.push(part);
            folder = match self.open_folder(&made) {
                Err(Errno::NOENT) => {
                    mkdirat(&folder, *part, Mode::from_raw_mode(0o755))?;
                    self.open_folder(&made)?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    /// A directory of the tree, through links that do not lead out. An empty path is the tree's own.
    fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        loop {
            match openat2(&self.root, path, FOLDER, Mode::empty(), self.resolve) {
                // Something was renamed meanwhile, and the kernel could not be sure.
                Err(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
    }
}

impl Place {
    /// Removes what stands here, unless it is a directory that is not empty.
    pub(super) fn clear(&self) -> rustix::io::Result<()> {
        match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR),
            Err(errno) => Err(errno),
        }
    }

    /// Whether a directory stands here, not a link to one.
    pub(super) fn is_folder(&self) -> bool {
        statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }
}

/// Pure: the parts of a name; `./a//b/` has two. One that begins at the root or climbs is refused.
fn parts(name: &Path) -> Result<Vec<&OsStr>, Error> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Error::Outside(name.to_owned()));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_are_refused() {
        assert_eq!(parts(Path::new("./a//b/")).unwrap(), ["a", "b"]);
        assert_eq!(parts(Path::new("./")).unwrap(), [""; 0]);
        for name in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
            assert!(matches!(parts(Path::new(name)), Err(Error::Outside(_))), "{name}");
        }
    }

    #[test]
    fn a_link_out_of_the_tree_is_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("real")).unwrap();
        for (link, to) in [("up", ".."), ("away", "/"), ("in", "real")] {
            std::os::unix::fs::symlink(to, root.join(link)).unwrap();
        }
        let tree = Tree::open(&root).unwrap();
        for name in ["up/x", "away/x", "in/../../x"] {
            assert!(
                matches!(tree.place(Path::new(name)), Err(Error::Outside(_))),
                "{name}"
            );
        }
        assert!(tree.place(Path::new("in/x")).unwrap().is_some());
        assert!(tree.place(Path::new("new/deep/x")).unwrap().is_some());
        assert!(root.join("new/deep").is_dir());
        assert!(!outer.path().join("x").exists());
    }
}
