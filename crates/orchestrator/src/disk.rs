//! The disk that a VM writes: an empty ext4 with a journal, made as a sparse copy of a template.
//!
//! mke2fs runs once per size; each VM's disk is then a copy of the few blocks that are not holes. So a disk costs
//! under a millisecond of work and some 160 KiB, whatever its size.
//!
//! The layout: a journal of 4 MiB (it bounds what a crash replays; a larger one helps only heavy writers and costs
//! its blocks once they are used), lazily initialised inode tables and journal (zeroes that a hole has already),
//! no blocks kept for root, no reserved descriptor blocks (online growth then goes by meta block groups).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{ByteSize, Reason, ReasonCode};

use crate::memory::{is_disk_full, sync_parent};

/// The smallest disk: below it mke2fs leaves out the journal.
pub const SMALLEST: ByteSize = ByteSize::from_mib(64);

/// A disk that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// mke2fs cannot be started.
    #[error("failed to start mke2fs")]
    Start(#[source] io::Error),
    /// mke2fs ended in failure.
    #[error("mke2fs failed: {0}")]
    Make(String),
    /// The template cannot be read or the copy cannot be written.
    #[error("failed to write the disk {path}")]
    Copy {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DiskError {
    /// The reason people read.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Copy { source, .. } if is_disk_full(source) => disk_full(),
            Self::Copy { path, source } => Reason::passing(
                ReasonCode::HostFailed,
                format!("the disk {} cannot be written: {source}", path.display()),
                "look at the host's disk; it is tried again",
            ),
            Self::Start(source) => Reason::passing(
                ReasonCode::HostNotReady,
                format!("mke2fs cannot be started: {source}"),
                "install e2fsprogs on the host (pitwall doctor tells more)",
            ),
            Self::Make(_) if self.to_string().contains("No space left") => disk_full(),
            Self::Make(message) => Reason::passing(
                ReasonCode::HostFailed,
                format!("mke2fs failed: {message}"),
                "look at the host's disk; it is tried again",
            ),
        }
    }
}

/// What people read when the host has no room.
pub(crate) fn disk_full() -> Reason {
    Reason::passing(
        ReasonCode::DiskFull,
        "the host's disk is full",
        "free space on the host, or remove VMs and images; it is tried again by itself",
    )
}

/// Makes the empty disk `path` of `size`, replacing what is there. It is whole and synced, or not there at all.
///
/// # Errors
/// mke2fs is missing or fails, or the disk has no room.
pub fn make(templates: &Path, path: &Path, size: ByteSize) -> Result<(), DiskError> {
    let template = template(templates, path, size)?;
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        copy_sparse(&template, &beside)?;
        fs::rename(&beside, path)?;
        sync_parent(path)
    };
    write().map_err(|source| {
        // Nothing half-made stays; that it cannot be removed either is what the sweep is for.
        let _ = fs::remove_file(&beside);
        DiskError::Copy {
            path: path.to_owned(),
            source,
        }
    })
}

/// Lets a disk be at least this large: more is asked of it than when it was made. It is never made smaller, and what is
/// added is a hole. The guest lets its filesystem follow.
///
/// # Errors
/// The disk cannot be changed.
pub(crate) fn grow(path: &Path, size: ByteSize) -> Result<(), DiskError> {
    let extend = || -> io::Result<()> {
        let disk = OpenOptions::new().write(true).open(path)?;
        if disk.metadata()?.len() < size.bytes() {
            disk.set_len(size.bytes())?;
            disk.sync_all()?;
        }
        Ok(())
    };
    extend().map_err(|source| DiskError::Copy {
        path: path.to_owned(),
        source,
    })
}

/// The template of this size. It is made beside `disk`, where nobody else makes one, and published whole; of two
/// made at once the later takes the place of its equal.
fn template(templates: &Path, disk: &Path, size: ByteSize) -> Result<PathBuf, DiskError> {
    let path = templates.join(format!("{}.ext4", size.bytes()));
    if path.exists() {
        return Ok(path);
    }
    let at = |source| DiskError::Copy {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(templates).map_err(at)?;
    let beside = disk.with_extension("template");
    let made = mke2fs(&beside, size).and_then(|()| {
        File::open(&beside).and_then(|file| file.sync_all()).map_err(at)?;
        fs::rename(&beside, &path).map_err(at)
    });
    if made.is_err() {
        let _ = fs::remove_file(&beside);
    }
    made.map(|()| path)
}

fn mke2fs(path: &Path, size: ByteSize) -> Result<(), DiskError> {
    let output = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args([
            "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096", "-I", "256", "-J", "size=4",
        ])
        .args([
            "-O",
            "^resize_inode",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
        ])
        .arg(path)
        .arg(format!("{}k", size.bytes() / 1024))
        .output()
        .map_err(DiskError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    Err(DiskError::Make(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// Copies the parts of `from` that are no holes, and syncs.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{SeekFrom, seek};
    let source = File::open(from)?;
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut buffer = vec![0; 1 << 16];
    let mut position = 0;
    while position < length {
        let start = match seek(&source, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(&source, SeekFrom::Hole(start))?;
        copy_range(&source, &target, start, end, &mut buffer)?;
        position = end;
    }
    target.sync_all()
}

fn copy_range(source: &File, target: &File, start: u64, end: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut position = start;
    while position < end {
        let want = usize::try_from(end - position).map_or(buffer.len(), |left| left.min(buffer.len()));
        let Some(chunk) = buffer.get_mut(..want) else {
            return Ok(());
        };
        source.read_exact_at(chunk, position)?;
        target.write_all_at(chunk, position)?;
        position += want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_disk_has_a_journal_is_clean_and_costs_little() {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("upper.ext4");
        for _ in 0..2 {
            make(
                &directory.path().join("templates"),
                &disk,
                ByteSize::from_mib(2048),
            )
            .unwrap();
        }
        let metadata = fs::metadata(&disk).unwrap();
        assert_eq!(metadata.len(), 2 << 30);
        assert!(
            metadata.blocks() * 512 <= 256 * 1024,
            "{} KiB",
            metadata.blocks() / 2
        );
        let run = |program: &str, argument: &str| {
            Command::new(program)
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .arg(argument)
                .arg(&disk)
                .output()
                .unwrap()
        };
        assert!(run("e2fsck", "-fn").status.success());
        let features = String::from_utf8(run("dumpe2fs", "-h").stdout).unwrap();
        assert!(features.contains("has_journal"), "{features}");
    }

    #[test]
    fn a_disk_becomes_larger_and_never_smaller() {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("upper.ext4");
        make(&directory.path().join("templates"), &disk, SMALLEST).unwrap();
        let before = fs::metadata(&disk).unwrap().blocks();
        for (asked, expected) in [(4096, 4096), (64, 4096), (4096, 4096)] {
            grow(&disk, ByteSize::from_mib(asked)).unwrap();
            assert_eq!(fs::metadata(&disk).unwrap().len(), expected << 20);
        }
        assert_eq!(fs::metadata(&disk).unwrap().blocks(), before, "it stays thin");
        assert!(grow(&directory.path().join("absent"), SMALLEST).is_err());
    }

    #[test]
    fn many_first_disks_of_a_size_at_once_are_all_whole() {
        let directory = tempfile::tempdir().unwrap();
        let templates = directory.path().join("templates");
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d", "e", "f"] {
                let disk = directory.path().join(name);
                let templates = &templates;
                scope.spawn(move || {
                    make(templates, &disk, SMALLEST).unwrap();
                    let check = Command::new("e2fsck")
                        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                        .arg("-fn")
                        .arg(&disk)
                        .output()
                        .unwrap();
                    assert!(
                        check.status.success(),
                        "{}",
                        String::from_utf8_lossy(&check.stdout)
                    );
                });
            }
        });
    }

    #[test]
    fn a_disk_that_cannot_be_made_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let templates = directory.path().join("templates");
        let disk = directory.path().join("absent/upper.ext4");
        let error = make(&templates, &disk, SMALLEST).unwrap_err();
        assert!(matches!(error, DiskError::Make(_)), "{error}");
        make(&templates, &directory.path().join("fine"), SMALLEST).unwrap();
        let error = make(&templates, &disk, SMALLEST).unwrap_err();
        assert!(matches!(error, DiskError::Copy { .. }), "{error}");
        let left: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            left.len(),
            2,
            "only the templates and the one that is fine: {left:?}"
        );
        assert_eq!(fs::read_dir(&templates).unwrap().count(), 1);
    }
}
