//! From an archive to entries and a data blob.

use std::io::{self, BufRead};

use super::blob::{BlobWriter, Chunks};
use super::path::{self, PathError, Place};
use crate::config::Limits;
use crate::entry::{Attrs, Body, Change, Entry, Kind, Xattr};
use crate::tar::{Layout, Member, MemberKind, TarError, TarReader};

/// The longest target of a symbolic link, in bytes.
const MAX_TARGET: usize = 4095;

/// Bytes of xattrs that every kernel reads from one inode; the format's own limit is 262,148.
const MAX_XATTRS: usize = 240_000;

/// Device numbers as Linux has them: 12 bits and 20 bits.
const MAX_DEVICE: (u64, u64) = (4095, 1_048_575);

/// Why a layer's content cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("its archive is not well-formed")]
    Tar(#[from] TarError),
    #[error("its member {name:?} is refused")]
    Path { name: String, source: PathError },
    #[error("its member {name:?} cannot exist on Linux: its {what} is out of range")]
    Range { name: String, what: &'static str },
    #[error("it has more than {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("its files cannot be written")]
    Write(#[source] io::Error),
}

/// What a layer became.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) entries: Vec<Entry>,
    /// Bytes of the data blob.
    pub(crate) length: u64,
}

/// Reads a whole archive. Bytes after its end are left in `source`.
pub(crate) fn unpack(
    source: impl BufRead,
    data: std::fs::File,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker {
        tar: TarReader::new(source),
        blob: BlobWriter::new(data),
        limits,
        metadata: 0,
    };
    let mut entries = Vec::new();
    while let Some(member) = unpacker.tar.next()? {
        if let Some(entry) = unpacker.entry(member)? {
            unpacker.account(&entry)?;
            entries.push(entry);
        }
        if entries.len() as u64 > limits.entries {
            return Err(UnpackError::Limit {
                what: "entries",
                limit: limits.entries,
            });
        }
    }
    let length = unpacker.blob.finish().map_err(UnpackError::Write)?;
    Ok(Unpacked { entries, length })
}

struct Unpacker<'a, R> {
    tar: TarReader<R>,
    blob: BlobWriter,
    limits: &'a Limits,
    /// Bytes of names, targets, xattrs and chunk lists so far.
    metadata: u64,
}

impl<R: BufRead> Unpacker<'_, R> {
    fn entry(&mut self, member: Member) -> Result<Option<Entry>, UnpackError> {
        let refused = |source| UnpackError::Path {
            name: shown(&member.name),
            source,
        };
        let place = path::place(&member.name).map_err(refused)?;
        let (path, change) = match place {
            Place::Bookkeeping => return Ok(None),
            Place::Whiteout(path) => (path, Change::Whiteout),
            Place::Opaque(path) => (path, Change::Opaque),
            Place::Node(path) => (path, self.change(member)?),
        };
        Ok(Some(Entry { path, change }))
    }

    fn change(&mut self, member: Member) -> Result<Change, UnpackError> {
        let range = |what| UnpackError::Range {
            name: shown(&member.name),
            what,
        };
        let kind = match &member.kind {
            MemberKind::HardLink => {
                let refused = |source| UnpackError::Path {
                    name: shown(&member.name),
                    source,
                };
                return Ok(Change::Link {
                    target: path::normalise(&member.link).map_err(refused)?,
                });
            }
            MemberKind::File(layout) => self.file(&member.name, layout)?,
            MemberKind::Symlink => {
                let target = &member.link;
                if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                    return Err(range("link target"));
                }
                Kind::Symlink {
                    target: target.as_slice().into(),
                }
            }
            &MemberKind::CharDevice { major, minor } => {
                device(false, major, minor).ok_or_else(|| range("device number"))?
            }
            &MemberKind::BlockDevice { major, minor } => {
                device(true, major, minor).ok_or_else(|| range("device number"))?
            }
            MemberKind::Directory => Kind::Directory,
            MemberKind::Fifo => Kind::Fifo,
        };
        // The largest number means "nobody" to the kernel.
        let id = |id: u64| u32::try_from(id).ok().filter(|&id| id != u32::MAX);
        let attrs = Attrs {
            mode: member.mode,
            uid: id(member.uid).ok_or_else(|| range("owner"))?,
            gid: id(member.gid).ok_or_else(|| range("group"))?,
            mtime: member.mtime,
            xattrs: xattrs(member.xattrs).ok_or_else(|| UnpackError::Range {
                name: shown(&member.name),
                what: "extended attributes",
            })?,
        };
        Ok(Change::Node { attrs, kind })
    }

    fn file(&mut self, name: &[u8], layout: &Layout) -> Result<Kind, UnpackError> {
        let too_large = || UnpackError::Range {
            name: shown(name),
            what: "size",
        };
        let start = self.blob.block().ok_or_else(too_large)?;
        match layout {
            Layout::Whole { size: 0 } | Layout::Sparse { size: 0, .. } => Ok(Kind::File {
                size: 0,
                body: Body::Empty,
            }),
            Layout::Whole { size } => {
                self.check_room(*size)?;
                self.copy(*size)?;
                self.blob.align().map_err(UnpackError::Write)?;
                Ok(Kind::File {
                    size: *size,
                    body: Body::Dense { block: start },
                })
            }
            Layout::Sparse { size, segments } => {
                let chunks = Chunks::plan(*size, segments).ok_or_else(too_large)?;
                self.check_room(chunks.stored())?;
                let base = self.blob.length();
                for &(offset, length) in segments {
                    let position = chunks.position(offset).ok_or_else(too_large)?;
                    self.blob.pad_to(base + position).map_err(UnpackError::Write)?;
                    self.copy(length)?;
                }
                self.blob
                    .pad_to(base + chunks.stored())
                    .map_err(UnpackError::Write)?;
                Ok(Kind::File {
                    size: *size,
                    body: chunks.body(start).ok_or_else(too_large)?,
                })
            }
        }
    }

    fn copy(&mut self, length: u64) -> Result<(), UnpackError> {
        let blob = &mut self.blob;
        self.tar
            .body(length, |bytes| blob.write(bytes).map_err(UnpackError::Write))
    }

    fn check_room(&self, more: u64) -> Result<(), UnpackError> {
        let limit = self.limits.unpacked_bytes;
        let fits = self
            .blob
            .length()
            .checked_add(more)
            .is_some_and(|length| length <= limit);
        if fits {
            Ok(())
        } else {
            Err(UnpackError::Limit {
                what: "bytes in its files",
                limit,
            })
        }
    }

    fn account(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let more = match &entry.change {
            Change::Node { attrs, kind } => {
                let xattrs: usize = attrs
                    .xattrs
                    .iter()
                    .map(|xattr| 32 + xattr.name.len() + xattr.value.len())
                    .sum();
                xattrs
                    + match kind {
                        Kind::File {
                            body: Body::Chunked { chunks, .. },
                            ..
                        } => chunks.len() * 4,
                        Kind::Symlink { target } => target.len(),
                        Kind::File { .. } | Kind::Directory | Kind::Device { .. } | Kind::Fifo => 0,
                    }
            }
            Change::Link { target } => target.len(),
            Change::Whiteout | Change::Opaque => 0,
        };
        self.metadata += (more + entry.path.len()) as u64;
        let limit = self.limits.metadata_bytes;
        if self.metadata <= limit {
            Ok(())
        } else {
            Err(UnpackError::Limit {
                what: "bytes of names and attributes",
                limit,
            })
        }
    }
}

fn device(block: bool, major: u64, minor: u64) -> Option<Kind> {
    let fits = major <= MAX_DEVICE.0 && minor <= MAX_DEVICE.1;
    let (major, minor) = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    fits.then_some(Kind::Device { block, major, minor })
}

/// The attributes that Linux can hold in a file system, in order; `None` if they are too large.
fn xattrs(mut xattrs: Vec<Xattr>) -> Option<Vec<Xattr>> {
    xattrs.retain(|xattr| crate::erofs::xattr::is_representable(&xattr.name));
    xattrs.sort();
    let fits = |xattr: &Xattr| xattr.name.len() <= 255 && xattr.value.len() <= usize::from(u16::MAX);
    (xattrs.iter().all(fits) && crate::erofs::xattr::length(&xattrs) <= MAX_XATTRS).then_some(xattrs)
}

/// A name for people: odd bytes replaced, the end cut.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A valid header with a body, to be spoiled.
    fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        for (at, digits) in [
            (100, "0000644"),
            (108, "0000000"),
            (116, "0000000"),
            (136, "00000000000"),
        ] {
            block[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        }
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        block
    }

    /// With their checksums right, spoiled headers get further.
    fn seal(block: &mut [u8]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    fn archive() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(b"01234567xgLKSA\0".to_vec());
        let body = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            Just(b"20 path=../../escape\n".to_vec()),
            Just(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=99\n".to_vec()),
            Just(b"29 GNU.sparse.map=0,5,90,100\n24 GNU.sparse.size=4096\n".to_vec()),
            Just(b"1\n0\n5\n".to_vec()),
        ];
        let spoils = prop::collection::vec((0usize..512, any::<u8>()), 0..4);
        let member = (kind, body, spoils).prop_map(|(kind, body, spoils)| {
            let mut block = header("a/b", kind, body.len());
            spoils.into_iter().for_each(|(at, byte)| block[at] = byte);
            seal(&mut block);
            block.extend_from_slice(&body);
            block.resize(block.len().next_multiple_of(512), 0);
            block
        });
        prop::collection::vec(member, 0..6).prop_map(|members| members.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// Whatever an archive holds, reading it ends, in bounds, and what is accepted stays in the tree.
        #[test]
        fn spoiled_archives_end_well(archive in archive()) {
            let data = tempfile::tempfile().expect("a file");
            let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
            if let Ok(layer) = unpack(archive.as_slice(), data, &limits) {
                prop_assert!(layer.length <= 1 << 20 && layer.length % crate::entry::BLOCK == 0);
                for entry in &layer.entries {
                    prop_assert!(!entry.path.split(|&byte| byte == b'/').any(|name| name == b".."));
                }
                if let Ok(tree) = crate::merge::merge([layer.entries]) {
                    let device = crate::erofs::Device { tag: String::new(), blocks: layer.length / crate::entry::BLOCK };
                    let form = crate::erofs::Form::Split;
                    let blobs =
                        crate::erofs::Blobs { form, devices: vec![device], of_layer: vec![Some(0)], uuid: [0; 16] };
                    let mut out = Vec::new();
                    crate::erofs::write(&tree, &blobs, &mut out).expect("a file system");
                    prop_assert_eq!(out.len() % 4096, 0);
                }
            }
        }
    }
}
