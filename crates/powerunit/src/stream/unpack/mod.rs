//! A tar archive to files.
//!
//! ```text
//!   host ─► ArchiveIn ─► Item   what an entry says ─► Unpacker ─► Tree   names inside one directory, and nowhere else
//! ```
//!
//! Files and links take the place of what has their name, as with any tar; directories are joined. Modes and times of
//! directories are set last, or writing into them would undo that. Owners are kept as numbers where we are root.
//! The directory itself keeps what it has. What was unpacked before an error stays.

mod item;
mod tree;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chmodat, chownat, fchmod, fchown,
    futimens, linkat, mknodat, openat, symlinkat, utimensat,
};
use tar::Entry;

use super::failure::Error;
use super::files::{ArchiveIn, absolute};
use super::link::Link;
use item::{Attributes, Item, Kind};
use tree::{Place, Tree};

/// Unpacks the archive that the host sends into the directory at a path.
pub(super) fn run(path: &str, link: &mut Link) -> Result<(), Error> {
    let mut unpacker = Unpacker {
        tree: Tree::open(absolute(path)?)?,
        folders: Vec::new(),
        keeps_owners: rustix::process::geteuid().is_root(),
    };
    let mut input = ArchiveIn::new(link);
    let done = unpacker.take(&mut input);
    if input.is_closed() {
        return Err(Error::Closed);
    }
    done?;
    unpacker.settle_folders()?;
    // What follows an archive's end, such as the rest of a tape block, is no part of it.
    match io::copy(&mut input, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Closed),
    }
}

struct Unpacker {
    tree: Tree,
    /// What directories become in the end.
    folders: Vec<(PathBuf, Attributes)>,
    keeps_owners: bool,
}

impl Unpacker {
    fn take(&mut self, input: &mut ArchiveIn<'_>) -> Result<(), Error> {
        let mut archive = tar::Archive::new(input);
        for entry in archive.entries().map_err(Error::Archive)? {
            self.unpack(&mut entry.map_err(Error::Archive)?)?;
        }
        Ok(())
    }

    fn unpack<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Error> {
        let Some(Item {
            name,
            kind,
            attributes,
        }) = Item::of(entry)?
        else {
            return Ok(());
        };
        let Some(place) = self.tree.place(&name)? else {
            return Ok(());
        };
        let made = match kind {
            Kind::Folder => {
                self.tree.make_folder(&place, &name)?;
                self.folders.push((name, attributes));
                return Ok(());
            }
            Kind::File => return self.file(&place, &name, entry, attributes),
            // A further name of a file that has everything already.
            Kind::Link(target) => return self.link(&place, &name, &target),
            Kind::Symlink(target) => place
                .clear()
                .and_then(|()| symlinkat(target, &place.folder, &place.name))
                .and_then(|()| self.describe(&place, attributes, FileType::Symlink)),
            Kind::Node(kind, device) => place
                .clear()
                .and_then(|()| mknodat(&place.folder, &place.name, kind, Mode::RUSR, device))
                .and_then(|()| self.describe(&place, attributes, kind)),
        };
        made.map_err(Error::file("make", name))
    }

    fn file(
        &self,
        place: &Place,
        name: &Path,
        entry: &mut impl Read,
        attributes: Attributes,
    ) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = place
            .clear()
            .and_then(|()| openat(&place.folder, &place.name, flags, Mode::RUSR | Mode::WUSR));
        let mut file = File::from(made.map_err(Error::file("make", name))?);
        fill(&mut file, entry, name)?;
        let mut described = Ok(());
        if self.keeps_owners {
            let (user, group) = attributes.owner;
            described = fchown(&file, Some(user), Some(group));
        }
        // In this order: a change of owner takes the set-user-id bit away.
        described
            .and_then(|()| fchmod(&file, attributes.mode))
            .and_then(|()| futimens(&file, &modified_at(attributes.modified)))
            .map_err(Error::file("set owner, mode and time of", name))
    }

    fn link(&self, place: &Place, name: &Path, target: &Path) -> Result<(), Error> {
        let outside = || Error::Outside(target.to_owned());
        let first = self.tree.place(target)?.ok_or_else(outside)?;
        place
            .clear()
            .and_then(|()| {
                linkat(
                    &first.folder,
                    &first.name,
                    &place.folder,
                    &place.name,
                    AtFlags::empty(),
                )
            })
            .map_err(Error::file("link", name))
    }

    /// Sets what an archive says of something that is not open.
    fn describe(&self, place: &Place, attributes: Attributes, kind: FileType) -> rustix::io::Result<()> {
        let (folder, name) = (&place.folder, place.name.as_c_str());
        if self.keeps_owners {
            let (user, group) = attributes.owner;
            chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // A symbolic link has no mode.
        if kind != FileType::Symlink {
            chmodat(folder, name, attributes.mode, AtFlags::empty())?;
        }
        let times = modified_at(attributes.modified);
        utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Innermost first, as they came last: a directory's own time changes with what is done in it.
    fn settle_folders(&self) -> Result<(), Error> {
        for (name, attributes) in self.folders.iter().rev() {
            let Some(place) = self.tree.place(name)? else {
                continue;
            };
            // A later entry may have put something else here.
            if place.is_folder() {
                self.describe(&place, *attributes, FileType::Directory)
                    .map_err(Error::file("set owner, mode and time of", name))?;
            }
        }
        Ok(())
    }
}

/// Copies an entry's content. An error of the archive is told from one of the file.
fn fill(file: &mut File, entry: &mut impl Read, name: &Path) -> Result<(), Error> {
    let mut buffer = [0; 32 * 1024];
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Archive(error)),
        };
        file.write_all(buffer.get(..count).unwrap_or_default())
            .map_err(|source| Error::File {
                operation: "write",
                path: name.to_owned(),
                source,
            })?;
    }
}

fn modified_at(modified: Timespec) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: modified,
    }
}
