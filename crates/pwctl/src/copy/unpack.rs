//! A tar archive to files here. The archive comes from a VM, which may be hostile: nothing of it lands outside of the
//! folder that it is unpacked in, whatever its names and links say. Devices are left out; owners and set-user-id bits are
//! not kept.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry};

/// What could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unpacking {
    #[error("the archive cannot be read")]
    Archive(#[source] io::Error),
    #[error("the archive names {}, which would land outside", .0.display())]
    Outside(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Unpacks into a folder; the first part of each name becomes `name`, or is left away where that is `None`.
pub(super) fn unpack(archive: impl Read, folder: &Path, name: Option<&str>) -> Result<(), Unpacking> {
    let written = |source| Unpacking::Write {
        path: folder.to_owned(),
        source,
    };
    let unpacker = Unpacker {
        root: fs::canonicalize(folder).map_err(written)?,
        name,
    };
    let mut archive = Archive::new(archive);
    archive.set_preserve_mtime(true);
    // Their modes and times are set last, or writing into them would be refused or would undo that.
    let mut folders = Vec::new();
    for entry in archive.entries().map_err(Unpacking::Archive)? {
        let mut entry = entry.map_err(Unpacking::Archive)?;
        folders.extend(unpacker.add(&mut entry)?);
    }
    for (path, mode) in folders.iter().rev() {
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).map_err(|source| Unpacking::Write {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

struct Unpacker<'a> {
    root: PathBuf,
    name: Option<&'a str>,
}

impl Unpacker<'_> {
    /// Gives a folder that was made, with the mode it gets in the end.
    fn add(&self, entry: &mut Entry<'_, impl Read>) -> Result<Option<(PathBuf, u32)>, Unpacking> {
        let named = entry.path().map_err(Unpacking::Archive)?.into_owned();
        let Some(path) = self.inside(&named)? else {
            return Ok(None);
        };
        let written = |source| Unpacking::Write {
            path: path.clone(),
            source,
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                made => made.map_err(written)?,
            }
            let mode = entry.header().mode().map_err(Unpacking::Archive)?;
            return Ok(Some((path, mode & 0o777)));
        }
        if kind.is_hard_link() {
            let target = entry.link_name().map_err(Unpacking::Archive)?.unwrap_or_default();
            let target = self.inside(&target)?.ok_or(Unpacking::Outside(named))?;
            let linked = make_way(&path).and_then(|()| fs::hard_link(target, &path));
            linked.map_err(written)?;
        } else if !kind.is_block_special() && !kind.is_character_special() && !kind.is_fifo() {
            let made = make_way(&path).and_then(|()| entry.unpack(&path));
            made.map_err(written)?;
        }
        Ok(None)
    }

    /// Where a name lands; `None` is the folder itself.
    fn inside(&self, named: &Path) -> Result<Option<PathBuf>, Unpacking> {
        let outside = || Unpacking::Outside(named.to_owned());
        let mut parts = named.components().filter(|part| *part != Component::CurDir);
        if !matches!(parts.next(), None | Some(Component::Normal(_))) {
            return Err(outside());
        }
        let mut path = self.root.clone();
        path.extend(self.name);
        for part in parts {
            let Component::Normal(part) = part else {
                return Err(outside());
            };
            path.push(part);
        }
        if path == self.root {
            return Ok(None);
        }
        // A link that the archive made earlier may stand on the way.
        let parent = path.parent().unwrap_or(&self.root);
        let real = fs::canonicalize(parent).map_err(|source| Unpacking::Write {
            path: path.clone(),
            source,
        })?;
        match real.starts_with(&self.root) {
            true => Ok(Some(path)),
            false => Err(outside()),
        }
    }
}

/// Removes what stands where a file will; a folder is not replaced by a file.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// An archive of names with what they hold: a folder, a file, or a link.
    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(if *kind == EntryType::Directory {
                0o750
            } else {
                0o640
            });
            header.set_mtime(1_000_000_000);
            // The library would refuse hostile names; a VM does not ask it.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            let mut data = content.as_bytes();
            if *kind == EntryType::Symlink || *kind == EntryType::Link {
                header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
                data = &[];
            }
            header.set_size(data.len().try_into().unwrap());
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_folder_lands_under_its_new_name_or_none() {
        let here = tempfile::tempdir().unwrap();
        let archive = archive(&[
            ("old", EntryType::Directory, ""),
            ("old/a", EntryType::Regular, "alpha"),
            ("old/inner", EntryType::Directory, ""),
            ("old/inner/link", EntryType::Symlink, "../a"),
            ("old/hard", EntryType::Link, "old/a"),
        ]);
        unpack(archive.as_slice(), here.path(), Some("new")).unwrap();
        let new = here.path().join("new");
        assert_eq!(fs::read_to_string(new.join("inner/link")).unwrap(), "alpha");
        assert_eq!(fs::read_to_string(new.join("hard")).unwrap(), "alpha");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&new), mode(&new.join("a"))), (0o750, 0o640));
        // Once more, over what is there, and without the first name.
        unpack(archive.as_slice(), &new, None).unwrap();
        assert_eq!(fs::read_dir(&new).unwrap().count(), 3);
    }

    #[test]
    fn a_file_gets_its_new_name_and_replaces_a_link_instead_of_following_it() {
        let here = tempfile::tempdir().unwrap();
        let other = here.path().join("other");
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, here.path().join("b")).unwrap();
        let archive = archive(&[("a", EntryType::Regular, "alpha")]);
        unpack(archive.as_slice(), here.path(), Some("b")).unwrap();
        assert_eq!(fs::read_to_string(here.path().join("b")).unwrap(), "alpha");
        assert_eq!(fs::read_to_string(&other).unwrap(), "untouched");
    }

    #[test]
    fn nothing_lands_outside() {
        for (entries, leaked) in [
            (vec![("d/../../x", EntryType::Regular, "evil")], "x"),
            (vec![("../x", EntryType::Regular, "evil")], "x"),
            (vec![("/tmp/x", EntryType::Regular, "evil")], "x"),
            (
                vec![
                    ("d", EntryType::Directory, ""),
                    ("d/out", EntryType::Symlink, "../.."),
                    ("d/out/x", EntryType::Regular, "evil"),
                ],
                "x",
            ),
            (
                vec![
                    ("d", EntryType::Directory, ""),
                    ("d/out", EntryType::Symlink, "../.."),
                    ("d/hard", EntryType::Link, "d/out/secret"),
                ],
                "inner/d/hard",
            ),
        ] {
            let here = tempfile::tempdir().unwrap();
            fs::write(here.path().join("secret"), "secret").unwrap();
            let inner = here.path().join("inner");
            fs::create_dir(&inner).unwrap();
            let refused = unpack(archive(&entries).as_slice(), &inner, Some("d"));
            assert!(
                matches!(refused, Err(Unpacking::Outside(_))),
                "{entries:?}: {refused:?}"
            );
            assert!(!here.path().join(leaked).exists(), "{entries:?}");
        }
    }
}
