//! The data blob of a layer: the bodies of its files one after the other, each beginning on a block.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use crate::entry::{BLOCK, BLOCK_BITS, Body, HOLE};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// The most chunks of one sparse file. More would cost 8 bytes each in every image; fewer would store more
/// zeros, which the host's file system keeps as holes.
const MAX_CHUNKS: u64 = 1 << 16;

/// Writes a data blob.
pub(super) struct BlobWriter {
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the blob so far, the buffer's included.
    length: u64,
}

impl BlobWriter {
    /// Starts at the beginning of an empty file.
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            length: 0,
        }
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where the next body begins, as a block; `None` beyond what 32 bits can address.
    pub(super) fn block(&self) -> Option<u32> {
        u32::try_from(self.length / BLOCK)
            .ok()
            .filter(|&block| block < HOLE)
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to a length; many of them become a hole.
    pub(super) fn pad_to(&mut self, length: u64) -> io::Result<()> {
        let missing = length.saturating_sub(self.length);
        if missing < BUFFER as u64 {
            let zeros = [0; BLOCK as usize];
            let mut left = usize::try_from(missing).unwrap_or(0);
            while left > 0 {
                let piece = left.min(zeros.len());
                self.write(&zeros[..piece])?;
                left -= piece;
            }
            return Ok(());
        }
        self.flush()?;
        self.length = length;
        self.file.seek(SeekFrom::Start(length)).map(drop)
    }

    /// Ends the last body on a whole block.
    pub(super) fn align(&mut self) -> io::Result<()> {
        self.pad_to(self.length.next_multiple_of(BLOCK))
    }

    /// Writes what is left and makes it durable.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        self.file.set_len(self.length)?;
        self.file.sync_all()?;
        Ok(self.length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The chunks of a sparse file, laid out before its segments arrive.
pub(super) struct Chunks {
    bits: u8,
    /// Per chunk its rank among those stored.
    ranks: Vec<u32>,
}

impl Chunks {
    /// Chooses the smallest chunks that keep their number bounded. `None` for a file no file system holds.
    pub(super) fn plan(size: u64, segments: &[(u64, u64)]) -> Option<Self> {
        let bits = (BLOCK_BITS..=BLOCK_BITS + 31).find(|&bits| size.div_ceil(1 << bits) <= MAX_CHUNKS)?;
        let mut ranks = vec![HOLE; usize::try_from(size.div_ceil(1 << bits)).ok()?];
        let mut stored = 0;
        for &(offset, length) in segments {
            let (first, last) = (offset >> bits, (offset + length - 1) >> bits);
            for chunk in first..=last {
                let rank = ranks.get_mut(usize::try_from(chunk).ok()?)?;
                if *rank == HOLE {
                    *rank = stored;
                    stored += 1;
                }
            }
        }
        Some(Self { bits, ranks })
    }

    /// Where an offset of the file is, relative to the body's beginning in the blob; `None` in a hole.
    pub(super) fn position(&self, offset: u64) -> Option<u64> {
        let rank = *self.ranks.get(usize::try_from(offset >> self.bits).ok()?)?;
        (rank != HOLE).then(|| (u64::from(rank) << self.bits) + (offset & ((1 << self.bits) - 1)))
    }

    /// Bytes of the body in the blob.
    pub(super) fn stored(&self) -> u64 {
        let stored = self.ranks.iter().filter(|&&rank| rank != HOLE).count();
        (stored as u64) << self.bits
    }

    /// The finished body, beginning at a block of the blob; `None` where 32 bits cannot address its end.
    pub(super) fn body(self, start: u32) -> Option<Body> {
        let address = |rank: u32| match rank {
            HOLE => Some(HOLE),
            _ => u32::try_from((u64::from(rank) << (self.bits - BLOCK_BITS)) + u64::from(start)).ok(),
        };
        let last = u64::from(start) + (self.stored() >> BLOCK_BITS);
        let chunks = self
            .ranks
            .iter()
            .copied()
            .map(address)
            .collect::<Option<Vec<_>>>()?;
        (last < u64::from(HOLE)).then_some(Body::Chunked {
            bits: self.bits,
            chunks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_files_store_only_touched_chunks() {
        let chunks = Chunks::plan(100_000, &[(0, 1), (8191, 2), (99_999, 1)]).expect("a plan");
        assert_eq!(chunks.stored(), 4 * BLOCK);
        assert_eq!(chunks.position(8192), Some(2 * BLOCK));
        assert_eq!(chunks.position(20_000), None);
        let Some(Body::Chunked { bits, chunks }) = chunks.body(7) else {
            panic!("chunked")
        };
        assert_eq!((bits, chunks.len()), (12, 25));
        assert_eq!(
            (chunks[0], chunks[1], chunks[2], chunks[3], chunks[24]),
            (7, 8, 9, HOLE, 10)
        );
    }

    #[test]
    fn a_huge_sparse_file_gets_few_chunks() {
        let chunks = Chunks::plan(1 << 40, &[(1 << 39, 10)]).expect("a plan");
        assert_eq!(chunks.bits, 24);
        assert_eq!(chunks.stored(), 1 << 24);
        assert!(Chunks::plan(u64::MAX, &[]).is_none());
    }
}
