//! The superblock, 1024 bytes into the file system, and the device table right after it.

use super::{BLOCK_SIZE, Blobs, Form};
use crate::entry::BLOCK_BITS;

const MAGIC: u32 = 0xE0F5_E1E2;

/// Where the superblock begins, and its length.
const START: usize = 1024;
const LENGTH: usize = 128;

/// Bytes of a device's slot.
const DEVICE: usize = 128;

/// The checksum is there; times are modification times.
const FEATURES_COMPATIBLE: u32 = 0x1 | 0x2;

/// Chunk-based files; a device table.
const CHUNKED_FILE: u32 = 0x4;
const DEVICE_TABLE: u32 = 0x8;

/// What the superblock says about the rest.
pub(super) struct Summary {
    /// Blocks of the first device.
    pub(super) blocks: u32,
    /// The block where inodes begin.
    pub(super) inode_area: u32,
    /// The root's inode number.
    pub(super) root: u16,
    pub(super) inodes: u64,
}

/// Blocks up to the inodes.
pub(super) fn blocks(blobs: &Blobs) -> u64 {
    (START + LENGTH + DEVICE * slots(blobs).len()).div_ceil(BLOCK_SIZE) as u64
}

fn slots(blobs: &Blobs) -> &[super::Device] {
    match blobs.form {
        Form::Split => &blobs.devices,
        Form::Flat => &[],
    }
}

/// Appends these blocks to an empty buffer.
pub(super) fn write(summary: &Summary, blobs: &Blobs, out: &mut Vec<u8>) {
    let slots = slots(blobs);
    let features = if slots.is_empty() {
        CHUNKED_FILE
    } else {
        CHUNKED_FILE | DEVICE_TABLE
    };
    let slot_offset = if slots.is_empty() {
        0
    } else {
        (START + LENGTH) / DEVICE
    };
    out.resize(START, 0);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 4]); // the checksum, below
    out.extend_from_slice(&FEATURES_COMPATIBLE.to_le_bytes());
    out.extend_from_slice(&[BLOCK_BITS, 0]);
    out.extend_from_slice(&summary.root.to_le_bytes());
    out.extend_from_slice(&summary.inodes.to_le_bytes());
    out.extend_from_slice(&[0; 12]); // the time it was built: none, so that equal trees give equal bytes
    out.extend_from_slice(&summary.blocks.to_le_bytes());
    out.extend_from_slice(&summary.inode_area.to_le_bytes());
    out.extend_from_slice(&[0; 4]); // shared xattrs: none
    out.extend_from_slice(&blobs.uuid);
    out.extend_from_slice(&[0; 16]); // the volume's name
    out.extend_from_slice(&features.to_le_bytes());
    out.extend_from_slice(&[0; 2]); // compression: none
    out.extend_from_slice(&u16::try_from(slots.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&u16::try_from(slot_offset).unwrap_or(u16::MAX).to_le_bytes());
    out.resize(START + LENGTH, 0);
    for device in slots {
        let start = out.len();
        out.extend_from_slice(device.tag.as_bytes());
        out.resize(start + 64, 0);
        out.extend_from_slice(&u32::try_from(device.blocks).unwrap_or(u32::MAX).to_le_bytes());
        out.resize(start + DEVICE, 0);
    }
    out.resize(out.len().next_multiple_of(BLOCK_SIZE), 0);
    // Over the rest of the first block, without the last inversion.
    let checksum = !crc32c::crc32c(&out[START..BLOCK_SIZE]);
    out[START + 4..START + 8].copy_from_slice(&checksum.to_le_bytes());
}
