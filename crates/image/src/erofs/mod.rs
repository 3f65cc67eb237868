//! A writer of EROFS, metadata only: the tree is here, the files' bytes stay in the layers' data blobs.
//!
//! ```text
//!   block 0              inodes of 64 bytes,               directories    only if flat:
//!   superblock, devices  xattrs, short data, chunk lists   and long links  the layers' blobs
//!   ├────────────────────┼──────────────────────────────────┼───────────────┼─ ─ ─ ─ ─ ─ ─ ─ ─
//!                         ▲ inode numbers count 32 bytes from here
//! ```
//!
//! The format is Linux's (fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst); everything used here is read by
//! Linux 5.16 and later: extended inodes, chunk-based files with 8-byte indexes, the device table. What always
//! holds: the same tree and devices give the same bytes, and the length is a multiple of 4096.

mod directory;
mod layout;
mod superblock;
pub(crate) mod xattr;

use std::io::{self, Write};

use crate::entry::{BLOCK, Body, HOLE};
use crate::merge::{Content, Node, Tree};
use layout::{Data, Layout, Place};

const BLOCK_SIZE: usize = BLOCK as usize;

/// Bytes of an extended inode.
const INODE: usize = 64;

/// A layer's data blob, as a device of the file system.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    /// Its name in the device table: the hexadecimal digits of its digest.
    pub(crate) tag: String,
    /// Its length in blocks.
    pub(crate) blocks: u64,
}

/// Where the layers' blobs will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each on a device of its own, in the order given.
    Split,
    /// One after the other behind the metadata.
    Flat,
}

/// What a file system is made of besides its tree.
#[derive(Debug)]
pub(crate) struct Blobs {
    pub(crate) form: Form,
    pub(crate) devices: Vec<Device>,
    /// Per layer the index of its device; layers without data have none.
    pub(crate) of_layer: Vec<Option<usize>>,
    /// The file system's UUID.
    pub(crate) uuid: [u8; 16],
}

/// Why a file system cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErofsError {
    #[error("the file system would exceed 16 TiB, or an inode's number 64 bits")]
    TooLarge,
    #[error("a file of layer {layer} has a body but the layer has no data")]
    NoData { layer: usize },
    #[error("the file system cannot be written")]
    Write(#[from] io::Error),
}

/// Writes the metadata of a tree.
pub(crate) fn write(tree: &Tree, blobs: &Blobs, out: impl Write) -> Result<(), ErofsError> {
    let layout = Layout::of(tree);
    let head_blocks = superblock::blocks(blobs);
    let data_start = head_blocks + layout.inode_blocks;
    let metadata_blocks = data_start + layout.data_blocks;
    let bases = bases(blobs, metadata_blocks)?;
    let total = match blobs.form {
        Form::Split => metadata_blocks,
        Form::Flat => metadata_blocks + blobs.devices.iter().map(|device| device.blocks).sum::<u64>(),
    };
    let summary = superblock::Summary {
        blocks: block_address(total)?,
        inode_area: block_address(head_blocks)?,
        root: u16::try_from(layout.nid(crate::merge::ROOT)).map_err(|_| ErofsError::TooLarge)?,
        inodes: layout.places.len() as u64,
    };
    let mut writer = Writer {
        tree,
        blobs,
        layout,
        bases,
        data_start,
        out,
        written: 0,
        piece: Vec::new(),
    };
    superblock::write(&summary, blobs, &mut writer.piece);
    writer.pass_on()?;
    writer.inodes(head_blocks * BLOCK)?;
    writer.data()?;
    Ok(writer.out.flush()?)
}

/// Per device its first block as chunks address it.
fn bases(blobs: &Blobs, metadata_blocks: u64) -> Result<Vec<u32>, ErofsError> {
    let mut next = metadata_blocks;
    let base = |device: &Device| match blobs.form {
        Form::Split => block_address(device.blocks).map(|_| 0),
        Form::Flat => {
            let base = block_address(next)?;
            next += device.blocks;
            Ok(base)
        }
    };
    blobs.devices.iter().map(base).collect()
}

fn block_address(block: u64) -> Result<u32, ErofsError> {
    u32::try_from(block)
        .ok()
        .filter(|&block| block != HOLE)
        .ok_or(ErofsError::TooLarge)
}

struct Writer<'a, W> {
    tree: &'a Tree,
    blobs: &'a Blobs,
    layout: Layout,
    bases: Vec<u32>,
    data_start: u64,
    out: W,
    written: u64,
    /// What is written next.
    piece: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn inodes(&mut self, start: u64) -> Result<(), ErofsError> {
        for index in 0..self.layout.places.len() {
            let at = start + self.layout.places[index].at;
            self.pad_to(at)?;
            self.inode(index)?;
            self.pass_on()?;
        }
        self.pad_to(self.data_start * BLOCK)
    }

    fn inode(&mut self, index: usize) -> Result<(), ErofsError> {
        let place = &self.layout.places[index];
        let node = self.tree.node(place.node);
        let xattrs = xattr::length(&node.attrs.xattrs);
        let out = &mut self.piece;
        out.extend_from_slice(&format(place.data).to_le_bytes());
        out.extend_from_slice(&xattr::count(xattrs).to_le_bytes());
        out.extend_from_slice(&mode(node).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&place.size.to_le_bytes());
        out.extend_from_slice(&union(place, node, self.data_start)?.to_le_bytes());
        out.extend_from_slice(
            &u32::try_from(index + 1)
                .map_err(|_| ErofsError::TooLarge)?
                .to_le_bytes(),
        );
        out.extend_from_slice(&node.attrs.uid.to_le_bytes());
        out.extend_from_slice(&node.attrs.gid.to_le_bytes());
        out.extend_from_slice(&node.attrs.mtime.seconds.to_le_bytes());
        out.extend_from_slice(&node.attrs.mtime.nanos.to_le_bytes());
        out.extend_from_slice(&self.layout.links[place.node].to_le_bytes());
        out.extend_from_slice(&[0; 16]);
        xattr::write(&node.attrs.xattrs, out);
        match (place.data, &node.content) {
            (Data::Inline { blocks, .. }, _) => self.blocks_of(index, blocks..u64::MAX),
            (Data::Chunks { .. }, Content::File { layer, body, .. }) => {
                out.resize(out.len().next_multiple_of(8), 0);
                chunks(out, self.blobs, &self.bases, *layer, body)?;
            }
            (Data::Chunks { .. } | Data::None | Data::Plain { .. }, _) => {}
        }
        Ok(())
    }

    /// The blocks of directories and of links that do not fit behind their inode.
    fn data(&mut self) -> Result<(), ErofsError> {
        for index in 0..self.layout.places.len() {
            let (Data::Inline { blocks, .. } | Data::Plain { blocks }) = self.layout.places[index].data
            else {
                continue;
            };
            if blocks > 0 {
                self.blocks_of(index, 0..blocks);
                self.piece
                    .resize(self.piece.len().next_multiple_of(BLOCK_SIZE), 0);
                self.pass_on()?;
            }
        }
        Ok(())
    }

    /// Appends some of the blocks of a directory or link to the piece. All but the last are padded.
    fn blocks_of(&mut self, index: usize, wanted: std::ops::Range<u64>) {
        let place = &self.layout.places[index];
        let start = self.piece.len();
        match &self.tree.node(place.node).content {
            Content::Symlink { target } => self.piece.extend_from_slice(target),
            Content::Directory(children) => {
                let listing = directory::listing(children, place.node, place.parent);
                let number = |id| (self.layout.nid(id), file_type(self.tree.node(id)));
                for ((block, _), _) in directory::blocks(&listing)
                    .zip(0u64..)
                    .filter(|(_, i)| wanted.contains(i))
                {
                    let used = self.piece.len() - start;
                    self.piece.resize(start + used.next_multiple_of(BLOCK_SIZE), 0);
                    directory::write(block, number, &mut self.piece);
                }
            }
            Content::File { .. } | Content::Device { .. } | Content::Fifo => {}
        }
    }

    fn pad_to(&mut self, position: u64) -> Result<(), ErofsError> {
        let missing = usize::try_from(position - self.written).map_err(|_| ErofsError::TooLarge)?;
        self.piece.resize(missing, 0);
        self.pass_on()
    }

    fn pass_on(&mut self) -> Result<(), ErofsError> {
        self.out.write_all(&self.piece)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}

/// Appends the chunk list of a file: per chunk a device number and a block.
fn chunks(
    out: &mut Vec<u8>,
    blobs: &Blobs,
    bases: &[u32],
    layer: usize,
    body: &Body,
) -> Result<(), ErofsError> {
    let device = blobs
        .of_layer
        .get(layer)
        .copied()
        .flatten()
        .ok_or(ErofsError::NoData { layer })?;
    let id = match blobs.form {
        Form::Split => u16::try_from(device + 1).map_err(|_| ErofsError::TooLarge)?,
        Form::Flat => 0,
    };
    let mut chunk = |block: u32| {
        let (id, address) = match block {
            HOLE => (0, HOLE),
            _ => (id, block_address(u64::from(block) + u64::from(bases[device]))?),
        };
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&address.to_le_bytes());
        Ok(())
    };
    match body {
        Body::Empty => Ok(()),
        Body::Dense { block } => chunk(*block),
        Body::Chunked { chunks, .. } => chunks.iter().try_for_each(|&block| chunk(block)),
    }
}

/// The inode's format: extended, and how its data is stored (`EROFS_INODE_*`).
fn format(data: Data) -> u16 {
    let layout = match data {
        Data::None | Data::Plain { .. } => 0,
        Data::Inline { .. } => 2,
        Data::Chunks { .. } => 4,
    };
    1 | layout << 1
}

/// The field whose meaning depends on the kind: first block, chunk format or device number.
fn union(place: &Place, node: &Node, data_start: u64) -> Result<u32, ErofsError> {
    const CHUNK_INDEXES: u32 = 0x20;
    Ok(match (place.data, &node.content) {
        (_, Content::Device { major, minor, .. }) => (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12),
        (Data::Chunks { bits, .. }, _) => CHUNK_INDEXES | u32::from(bits - crate::entry::BLOCK_BITS),
        (Data::Plain { .. } | Data::Inline { blocks: 1.., .. }, _) => {
            block_address(data_start + place.block)?
        }
        (Data::None | Data::Inline { blocks: 0, .. }, _) => 0,
    })
}

/// Linux's `S_IF*` and `FT_*` numbers of a node's kind.
fn type_numbers(node: &Node) -> (u16, u8) {
    match node.content {
        Content::File { .. } => (0o100_000, 1),
        Content::Directory(_) => (0o040_000, 2),
        Content::Device { block: false, .. } => (0o020_000, 3),
        Content::Device { block: true, .. } => (0o060_000, 4),
        Content::Fifo => (0o010_000, 5),
        Content::Symlink { .. } => (0o120_000, 7),
    }
}

fn mode(node: &Node) -> u16 {
    type_numbers(node).0 | node.attrs.mode
}

fn file_type(node: &Node) -> u8 {
    type_numbers(node).1
}
