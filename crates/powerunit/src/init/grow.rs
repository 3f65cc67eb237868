//! Lets the VM's own filesystem fill a disk that has become larger.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::libc;

use super::error::Error;
use super::kmsg;

/// `EXT4_IOC_RESIZE_FS` of fs/ext4/ext4.h: takes the new length in blocks, works while mounted.
const RESIZE: libc::Ioctl = nix::request_code_write!(b'f', 16, size_of::<u64>());

/// What matters here of `struct ext4_super_block`, which begins at byte 1024.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;

/// Grows the filesystem on `device`, mounted on `target`, if there is room behind it. One that cannot grow is used as
/// it is.
pub(super) fn fill_disk(device: &Path, target: &Path) {
    if let Err(source) = try_fill(device, target) {
        kmsg::problem(&Error::file("grow the filesystem on", device)(source));
    }
}

fn try_fill(device: &Path, target: &Path) -> io::Result<()> {
    let mut disk = File::open(device)?;
    let mut superblock = [0; SUPERBLOCK_BYTES];
    disk.read_exact_at(&mut superblock, SUPERBLOCK)?;
    let length = disk.seek(SeekFrom::End(0))?;
    let Some((now, room)) = blocks(&superblock, length) else {
        return Ok(());
    };
    if room <= now {
        return Ok(());
    }
    resize(&File::open(target)?, room)?;
    kmsg::note(&format!("the VM's filesystem grew from {now} to {room} blocks"));
    Ok(())
}

/// Pure: how many blocks a filesystem has, and how many a disk of `length` bytes has room for.
fn blocks(superblock: &[u8], length: u64) -> Option<(u64, u64)> {
    let word = |at: usize| {
        let bytes = superblock.get(at..at.checked_add(4)?)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    };
    // s_blocks_count_lo, s_blocks_count_hi, s_log_block_size.
    let now = u64::from(word(0x150)?) << 32 | u64::from(word(4)?);
    let size = 1024_u64.checked_shl(word(0x18)?)?;
    Some((now, length.checked_div(size)?))
}

#[expect(unsafe_code, reason = "the request of ext4 has no safe wrapper")]
fn resize(target: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call, and EXT4_IOC_RESIZE_FS reads one u64, which `blocks` is.
    let answer = unsafe { libc::ioctl(target.as_raw_fd(), RESIZE, &raw const blocks) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superblock_tells_how_much_is_used() {
        let mut superblock = [0; SUPERBLOCK_BYTES];
        superblock[4..8].copy_from_slice(&131_072_u32.to_le_bytes());
        superblock[0x18..0x1c].copy_from_slice(&2_u32.to_le_bytes());
        assert_eq!(blocks(&superblock, 512 << 20), Some((131_072, 131_072)));
        assert_eq!(blocks(&superblock, (1 << 30) + 512), Some((131_072, 262_144)));
        superblock[0x150] = 1;
        assert_eq!(blocks(&superblock, 0), Some(((1 << 32) + 131_072, 0)));
        superblock[0x18] = 200;
        assert_eq!(blocks(&superblock, 1 << 30), None, "no such block size");
    }
}
