//! Files here to a tar archive (GNU: long names, any size).
//!
//! Modes and times are kept; owners are not: there, the files are root's, as after `docker cp`. Symbolic links stay
//! links. Sockets are left out.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

/// What could not be packed.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Which file; `None` where it was the archive itself that could not be sent.
    pub(super) path: Option<PathBuf>,
    pub(super) source: io::Error,
}

/// Packs what stands at a path under another name; `None` leaves the name away.
pub(super) fn pack(path: &Path, name: Option<&str>, out: impl Write) -> Result<(), Unpacked> {
    let mut archive = Builder::new(out);
    match name {
        Some(name) => add(&mut archive, path, Path::new(name))?,
        None => add_content(&mut archive, path, Path::new(""))?,
    }
    let mut out = archive.into_inner().map_err(unsent)?;
    out.flush().map_err(unsent)
}

fn add(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> Result<(), Unpacked> {
    let metadata = fs::symlink_metadata(path).map_err(unread(path))?;
    let kind = metadata.file_type();
    let mut header = header(&metadata);
    if kind.is_symlink() {
        let target = fs::read_link(path).map_err(unread(path))?;
        header.set_entry_type(EntryType::Symlink);
        return archive.append_link(&mut header, name, target).map_err(unsent);
    }
    if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        archive
            .append_data(&mut header, name, io::empty())
            .map_err(unsent)?;
        return add_content(archive, path, name);
    }
    if kind.is_file() {
        return add_file(archive, path, name, &mut header, metadata.len());
    }
    if kind.is_fifo() {
        header.set_entry_type(EntryType::Fifo);
        return archive
            .append_data(&mut header, name, io::empty())
            .map_err(unsent);
    }
    if kind.is_socket() {
        return Ok(());
    }
    let source = io::Error::other("a device is not copied");
    Err(unread(path)(source))
}

fn add_content(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> Result<(), Unpacked> {
    let entries = fs::read_dir(path).map_err(unread(path))?;
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(unread(path))?;
    names.sort_unstable();
    for inner in names {
        add(archive, &path.join(&inner), &name.join(&inner))?;
    }
    Ok(())
}

fn add_file(
    archive: &mut Builder<impl Write>,
    path: &Path,
    name: &Path,
    header: &mut Header,
    size: u64,
) -> Result<(), Unpacked> {
    let file = File::open(path).map_err(unread(path))?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    let mut content = Exactly {
        file,
        rest: size,
        failed: None,
    };
    let added = archive.append_data(header, name, &mut content);
    match (content.failed, added) {
        (Some(source), _) => Err(unread(path)(source)),
        (None, Err(source)) => Err(unsent(source)),
        (None, Ok(())) => Ok(()),
    }
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// So many bytes of a file, for its length stands before it; one that shrinks meanwhile is an error.
struct Exactly {
    file: File,
    rest: u64,
    failed: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default());
        let failure = match read {
            Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "it shrinks while it is read"),
            Ok(count) => {
                self.rest -= u64::try_from(count).unwrap_or(self.rest);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        let kind = failure.kind();
        self.failed = Some(failure);
        Err(kind.into())
    }
}

fn unread(path: &Path) -> impl FnOnce(io::Error) -> Unpacked {
    let path = path.to_owned();
    move |source| Unpacked {
        path: Some(path),
        source,
    }
}

const fn unsent(source: io::Error) -> Unpacked {
    Unpacked { path: None, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(archive: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            (
                name,
                entry.header().mode().unwrap() & 0o777,
                entry.header().uid().unwrap(),
            )
        });
        entries.collect()
    }

    #[test]
    fn a_folder_is_packed_under_its_new_name_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        fs::create_dir(&path).unwrap();
        let long = "n".repeat(180);
        fs::write(path.join(&long), "x").unwrap();
        fs::write(path.join("run"), "#!").unwrap();
        fs::set_permissions(path.join("run"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("run", path.join("link")).unwrap();
        let mut archive = Vec::new();
        pack(&path, Some("new"), &mut archive).unwrap();
        let packed = names(&archive);
        let paths: Vec<_> = packed.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(paths, ["new", "new/link", &format!("new/{long}"), "new/run"]);
        assert_eq!((packed[3].1, packed[3].2), (0o750, 0));
        let mut archive = Vec::new();
        pack(&path, None, &mut archive).unwrap();
        assert_eq!(names(&archive)[0].0, "link");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = pack(Path::new("/nowhere/at/all"), Some("x"), io::sink()).unwrap_err();
        assert_eq!(missing.path.as_deref(), Some(Path::new("/nowhere/at/all")));
    }
}
