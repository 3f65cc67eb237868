//! Directories: blocks that each begin with their entries' fixed parts and end with the names, all names of
//! the directory in byte order with `.` and `..` among them.

use super::BLOCK_SIZE;
use crate::merge::{Children, NodeId};

/// Bytes of an entry's fixed part (`struct erofs_dirent`).
const ENTRY: usize = 12;

/// The names of a directory in order, each with its node.
pub(super) fn listing(children: &Children, own: NodeId, parent: NodeId) -> Vec<(&[u8], NodeId)> {
    let mut listing: Vec<_> = children.iter().map(|(name, &id)| (&**name, id)).collect();
    listing.push((b".", own));
    listing.push((b"..", parent));
    listing.sort_by_key(|&(name, _)| name);
    listing
}

/// Cuts a listing into what fits in a block each. The bytes used come with each part.
pub(super) fn blocks<'a, 'b>(
    listing: &'a [(&'b [u8], NodeId)],
) -> impl Iterator<Item = (&'a [(&'b [u8], NodeId)], usize)> {
    let mut rest = listing;
    std::iter::from_fn(move || {
        let mut used = 0;
        let fits = |(name, _): &&(&[u8], NodeId)| {
            let with_it = used + ENTRY + name.len();
            let fits = with_it <= BLOCK_SIZE;
            if fits {
                used = with_it;
            }
            fits
        };
        let count = rest.iter().take_while(fits).count();
        let (block, further) = rest.split_at(count);
        rest = further;
        (count > 0).then_some((block, used))
    })
}

/// Appends one block, as long as its entries need. `number` gives a node's nid and Linux's `FT_*` kind.
pub(super) fn write(block: &[(&[u8], NodeId)], number: impl Fn(NodeId) -> (u64, u8), out: &mut Vec<u8>) {
    let mut name_at = block.len() * ENTRY;
    for &(name, id) in block {
        let (nid, kind) = number(id);
        out.extend_from_slice(&nid.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name_at).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&[kind, 0]);
        name_at += name.len();
    }
    for (name, _) in block {
        out.extend_from_slice(name);
    }
}
