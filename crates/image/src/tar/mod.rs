//! A reader of tar archives as container layers use them.
//!
//! ```text
//!   blocks ──► header ─┬─ 'x' PAX records ───┐
//!                      ├─ 'L' 'K' GNU names ─┤ said before the member they are about
//!                      └─ a member ◄─────────┘ ──► its body, or its sparse segments
//! ```
//!
//! It understands V7, ustar, PAX, GNU and star headers, numbers in base 256, and the sparse formats old-GNU
//! and PAX 0.0, 0.1 and 1.0. It never looks at a path's meaning and writes nothing. What always holds: no
//! allocation is larger than a limit here, and the bytes taken from the source are exactly the archive's.

mod header;
mod pax;
mod sparse;

use std::io::{self, BufRead};

use crate::entry::{Time, Xattr};
use header::{BLOCK, Header, positive};
use pax::Overrides;

/// The longest extended headers and GNU names of one member: four times the xattrs that one inode can hold.
const MAX_EXTENSION: u64 = 1 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the archive ends inside a member")]
    Truncated,
    #[error("the header at byte {at} has a wrong checksum")]
    Checksum { at: u64 },
    #[error("a header's {field} is not a number of its range")]
    Number { field: &'static str },
    #[error("an extended header is malformed")]
    Pax,
    #[error("a sparse file's map is malformed")]
    Sparse,
    #[error("an extended header or name of {size} bytes is too long")]
    TooLong { size: u64 },
    #[error("members of type {:?} are not supported", char::from(*.0))]
    Type(u8),
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File(Layout),
    HardLink,
    Symlink,
    CharDevice { major: u64, minor: u64 },
    BlockDevice { major: u64, minor: u64 },
    Directory,
    Fifo,
}

/// An offset in a file and a length.
pub(crate) type Segment = (u64, u64);

/// How a file's body lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All of it.
    Whole { size: u64 },
    /// Segments, ascending and apart, one after the other in the archive; holes between.
    Sparse { size: u64, segments: Vec<Segment> },
}

/// One member, names as written.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: MemberKind,
    pub(crate) mode: u16,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: Time,
    pub(crate) xattrs: Vec<Xattr>,
}

/// Reads members one after the other.
pub(crate) struct TarReader<R> {
    source: R,
    at: u64,
    /// Bytes of the current body not read yet, and the padding after it.
    body: u64,
    padding: u64,
}

impl<R: BufRead> TarReader<R> {
    /// Starts at the beginning of an archive.
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            at: 0,
            body: 0,
            padding: 0,
        }
    }

    /// The next member, or `None` at the end. What was left of the last body is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut overrides = Overrides::default();
        let (mut long_name, mut long_link) = (None, None);
        let mut room = MAX_EXTENSION;
        loop {
            self.skip_body()?;
            let at = self.at;
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            let Some(header) = Header::parse(&block, at)? else {
                return self.end();
            };
            match header.kind() {
                b'x' | b'X' => overrides.read(&self.extension(&header, &mut room)?)?,
                b'g' => drop(self.extension(&header, &mut room)?),
                b'L' => long_name = Some(until_nul(self.extension(&header, &mut room)?)),
                b'K' => long_link = Some(until_nul(self.extension(&header, &mut room)?)),
                _ => {
                    overrides.path = overrides.path.take().or(long_name);
                    overrides.link = overrides.link.take().or(long_link);
                    return self.member(&header, overrides).map(Some);
                }
            }
        }
    }

    /// Hands the rest of the current body to `sink`, at most `limit` bytes, in slices as they come.
    pub(crate) fn body<E: From<TarError>>(
        &mut self,
        limit: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = limit.min(self.body);
        while left > 0 {
            let bytes = self.source.fill_buf().map_err(TarError::Read)?;
            if bytes.is_empty() {
                return Err(TarError::Truncated.into());
            }
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            sink(&bytes[..taken])?;
            self.source.consume(taken);
            self.at += taken as u64;
            self.body -= taken as u64;
            left -= taken as u64;
        }
        Ok(())
    }

    fn member(&mut self, header: &Header<'_>, mut said: Overrides) -> Result<Member, TarError> {
        let name = said.path.take().unwrap_or_else(|| header.name());
        let link = said.link.take().unwrap_or_else(|| header.link());
        let size = match said.size {
            Some(size) => size,
            None => positive(header.size()?, "size")?,
        };
        let device = || -> Result<_, TarError> {
            let (major, minor) = header.device()?;
            Ok((positive(major, "devmajor")?, positive(minor, "devminor")?))
        };
        let kind = match header.kind() {
            b'0' | 0 if name.ends_with(b"/") && said.sparse.real_size.is_none() => MemberKind::Directory,
            b'0' | 0 | b'7' | b'S' => MemberKind::File(self.layout(header, &said, size)?),
            b'1' => MemberKind::HardLink,
            b'2' => MemberKind::Symlink,
            b'3' => device().map(|(major, minor)| MemberKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| MemberKind::BlockDevice { major, minor })?,
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            other => return Err(TarError::Type(other)),
        };
        let seconds = |header: &Header<'_>| {
            Ok(Time {
                seconds: header.mtime()?,
                nanos: 0,
            })
        };
        Ok(Member {
            name: said.sparse.name.take().unwrap_or(name),
            link,
            kind,
            mode: u16::try_from(header.mode()? & 0o7777).unwrap_or(0),
            uid: said.uid.map_or_else(|| positive(header.uid()?, "uid"), Ok)?,
            gid: said.gid.map_or_else(|| positive(header.gid()?, "gid"), Ok)?,
            mtime: said.mtime.map_or_else(|| seconds(header), Ok)?,
            xattrs: said.xattrs,
        })
    }

    /// Reads what of a file's layout stands between its header and its body.
    fn layout(&mut self, header: &Header<'_>, said: &Overrides, size: u64) -> Result<Layout, TarError> {
        let (real_size, segments) = if header.kind() == b'S' {
            let (mut segments, mut more) = header.sparse_segments()?;
            while more {
                let block = self.block()?.ok_or(TarError::Truncated)?;
                let (further, again) = header::sparse_extension(&block)?;
                segments.extend(further);
                sparse::check_count(segments.len())?;
                more = again;
            }
            self.expect_body(size)?;
            (header.sparse_size()?, segments)
        } else if let Some(real_size) = said.sparse.real_size {
            self.expect_body(size)?;
            let segments = match said.sparse.version {
                Some((1, 0)) => self.sparse_map()?,
                None | Some((0, _)) => sparse::pairs(&said.sparse.numbers)?,
                Some(_) => return Err(TarError::Sparse),
            };
            (real_size, segments)
        } else {
            self.expect_body(size)?;
            return Ok(Layout::Whole { size });
        };
        let segments = sparse::check(segments, real_size, self.body)?;
        Ok(Layout::Sparse {
            size: real_size,
            segments,
        })
    }

    /// The map that PAX format 1.0 puts in front of the body: its count and its numbers, a line each.
    fn sparse_map(&mut self) -> Result<Vec<Segment>, TarError> {
        let mut map = sparse::MapReader::default();
        while !map.is_complete() {
            if self.body < BLOCK as u64 {
                return Err(TarError::Sparse);
            }
            self.body(BLOCK as u64, |bytes| map.read(bytes))?;
        }
        map.segments()
    }

    fn extension(&mut self, header: &Header<'_>, room: &mut u64) -> Result<Vec<u8>, TarError> {
        let size = positive(header.size()?, "size")?;
        *room = room.checked_sub(size).ok_or(TarError::TooLong { size })?;
        self.expect_body(size)?;
        let mut content = Vec::new();
        self.body(size, |bytes| {
            content.extend_from_slice(bytes);
            Ok::<_, TarError>(())
        })?;
        Ok(content)
    }

    fn expect_body(&mut self, size: u64) -> Result<(), TarError> {
        self.body = size;
        let padded = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or(TarError::Number { field: "size" })?;
        self.padding = padded - size;
        Ok(())
    }

    fn skip_body(&mut self) -> Result<(), TarError> {
        self.body(u64::MAX, |_| Ok::<_, TarError>(()))?;
        self.body = std::mem::take(&mut self.padding);
        self.body(u64::MAX, |_| Ok(()))
    }

    /// The next block, or `None` if the source ends before it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = self.source.fill_buf().map_err(TarError::Read)?;
            let taken = bytes.len().min(BLOCK - filled);
            match (taken, filled) {
                (0, 0) => return Ok(None),
                (0, _) => return Err(TarError::Truncated),
                _ => block[filled..filled + taken].copy_from_slice(&bytes[..taken]),
            }
            self.source.consume(taken);
            filled += taken;
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    /// After a block of zeros: a second one, or nothing at all.
    fn end(&mut self) -> Result<Option<Member>, TarError> {
        let at = self.at;
        match self.block()? {
            Some(block) if block.iter().any(|&byte| byte != 0) => Err(TarError::Checksum { at }),
            Some(_) | None => Ok(None),
        }
    }
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}
