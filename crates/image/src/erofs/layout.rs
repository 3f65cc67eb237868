//! Where each inode stands, decided before anything is written.
//!
//! Inodes follow one another from the root, in the order of a walk, on slots of 32 bytes. Behind an inode are
//! its xattrs, then its inline data or its chunk list. An inode with inline data lies in one block together
//! with it, as the kernel wants it; directories too large for that have blocks of their own after the inodes.

use super::{BLOCK_SIZE, INODE, directory, xattr};
use crate::entry::{BLOCK_BITS, Body};
use crate::merge::{Content, NodeId, ROOT, Tree};

/// Bytes of a slot; an inode's number counts them.
const SLOT: u64 = 32;

/// Inline data beyond this leaves larger gaps at the ends of blocks than it saves.
const MAX_INLINE: usize = 2048;

/// How a node's data is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// No data.
    None,
    /// Blocks of the data area, and a tail behind the inode.
    Inline { blocks: u64, tail: usize },
    /// Blocks of the data area only.
    Plain { blocks: u64 },
    /// Chunks in a data blob, each `1 << bits` bytes.
    Chunks { bits: u8, count: usize },
}

/// One inode's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: NodeId,
    /// A directory's parent; unused for others.
    pub(super) parent: NodeId,
    /// Bytes from the beginning of the inode area.
    pub(super) at: u64,
    /// Bytes of the data.
    pub(super) size: u64,
    pub(super) data: Data,
    /// The first of its blocks, counted from the beginning of the data area.
    pub(super) block: u64,
}

/// The whole file system's layout.
#[derive(Debug)]
pub(super) struct Layout {
    /// In the order they stand in.
    pub(super) places: Vec<Place>,
    /// Names per node.
    pub(super) links: Vec<u32>,
    /// Per node its place in `places`.
    index: Vec<usize>,
    /// Blocks of the inode area and of the data area.
    pub(super) inode_blocks: u64,
    pub(super) data_blocks: u64,
}

impl Layout {
    /// Lays a tree out.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut layout = Self {
            places: Vec::new(),
            links: vec![0; tree.len()],
            index: vec![usize::MAX; tree.len()],
            inode_blocks: 0,
            data_blocks: 0,
        };
        // Slot 0 stays free: programs take inode number 0 for "no entry".
        let mut cursor = SLOT;
        let mut waiting = vec![(ROOT, ROOT)];
        layout.links[ROOT] = 2;
        while let Some((node, parent)) = waiting.pop() {
            if layout.index[node] != usize::MAX {
                continue;
            }
            layout.index[node] = layout.places.len();
            let place = layout.place(tree, node, parent, &mut cursor);
            layout.places.push(place);
            if let Content::Directory(children) = &tree.node(node).content {
                for &child in children.values() {
                    let is_directory = matches!(tree.node(child).content, Content::Directory(_));
                    layout.links[child] += if is_directory { 2 } else { 1 };
                    layout.links[node] += u32::from(is_directory);
                }
                waiting.extend(children.values().rev().map(|&child| (child, node)));
            }
        }
        layout.inode_blocks = cursor.div_ceil(BLOCK_SIZE as u64);
        layout
    }

    /// A node's number.
    pub(super) fn nid(&self, node: NodeId) -> u64 {
        self.places[self.index[node]].at / SLOT
    }

    fn place(&mut self, tree: &Tree, node: NodeId, parent: NodeId, cursor: &mut u64) -> Place {
        let head = INODE + xattr::length(&tree.node(node).attrs.xattrs);
        let (size, data) = data(tree, node, parent, head);
        let behind = match data {
            Data::None | Data::Plain { .. } => head,
            Data::Inline { tail, .. } => head + tail,
            Data::Chunks { count, .. } => head.next_multiple_of(8) + 8 * count,
        };
        let mut at = cursor.next_multiple_of(SLOT);
        let left = BLOCK_SIZE as u64 - at % BLOCK_SIZE as u64;
        if matches!(data, Data::Inline { .. }) && behind as u64 > left {
            at += left;
        }
        *cursor = at + behind as u64;
        let block = self.data_blocks;
        self.data_blocks += match data {
            Data::Inline { blocks, .. } | Data::Plain { blocks } => blocks,
            Data::None | Data::Chunks { .. } => 0,
        };
        Place {
            node,
            parent,
            at,
            size,
            data,
            block,
        }
    }
}

/// A node's size and how it is stored, given the bytes of its inode and xattrs.
fn data(tree: &Tree, node: NodeId, parent: NodeId, head: usize) -> (u64, Data) {
    match &tree.node(node).content {
        Content::Directory(children) => {
            let listing = directory::listing(children, node, parent);
            let (count, tail) =
                directory::blocks(&listing).fold((0, 0), |(count, _), (_, used)| (count + 1, used));
            let whole = count - 1;
            (
                whole * BLOCK_SIZE as u64 + tail as u64,
                inline_or_plain(whole, tail, head),
            )
        }
        Content::Symlink { target } => (target.len() as u64, inline_or_plain(0, target.len(), head)),
        Content::File { size, body, .. } => {
            let data = match body {
                Body::Empty => Data::None,
                Body::Dense { .. } => Data::Chunks {
                    bits: bits_covering(*size),
                    count: 1,
                },
                Body::Chunked { bits, chunks } => Data::Chunks {
                    bits: *bits,
                    count: chunks.len(),
                },
            };
            (*size, data)
        }
        Content::Device { .. } | Content::Fifo => (0, Data::None),
    }
}

fn inline_or_plain(blocks: u64, tail: usize, head: usize) -> Data {
    if tail <= MAX_INLINE && head + tail <= BLOCK_SIZE {
        Data::Inline { blocks, tail }
    } else {
        Data::Plain { blocks: blocks + 1 }
    }
}

/// The smallest chunk that holds a whole file.
fn bits_covering(size: u64) -> u8 {
    let bits = size.next_power_of_two().trailing_zeros();
    u8::try_from(bits).unwrap_or(u8::MAX).max(BLOCK_BITS)
}
