//! Maps of sparse files: which segments of a file the archive stores.

use super::pax::decimal;
use super::{Segment, TarError};

/// The most segments of one file: a map of 16 MiB.
const MAX_SEGMENTS: usize = 1 << 20;

/// Refuses a map that grows without end.
pub(super) fn check_count(segments: usize) -> Result<(), TarError> {
    if segments > MAX_SEGMENTS {
        Err(TarError::Sparse)
    } else {
        Ok(())
    }
}

/// Offsets and lengths in turn, as segments.
pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<Segment>, TarError> {
    if !numbers.len().is_multiple_of(2) {
        return Err(TarError::Sparse);
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Checks that segments ascend, do not overlap, end inside the file and are as long as what is stored. Empty
/// ones, which writers put at the end of a file, are dropped.
pub(super) fn check(segments: Vec<Segment>, size: u64, stored: u64) -> Result<Vec<Segment>, TarError> {
    let (mut end, mut total) = (0u64, 0u64);
    for &(offset, length) in &segments {
        if offset < end {
            return Err(TarError::Sparse);
        }
        end = offset.checked_add(length).ok_or(TarError::Sparse)?;
        total += length;
    }
    if end > size || total != stored {
        return Err(TarError::Sparse);
    }
    Ok(segments.into_iter().filter(|&(_, length)| length > 0).collect())
}

/// Reads the map of PAX format 1.0, which fills whole blocks.
#[derive(Default)]
pub(super) struct MapReader {
    line: Vec<u8>,
    count: Option<usize>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Whether the whole map has been read.
    pub(super) fn is_complete(&self) -> bool {
        self.count.is_some_and(|count| self.numbers.len() == count * 2)
    }

    /// Takes the next bytes; those after the end of the map are padding.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        for &byte in bytes {
            if self.is_complete() {
                return Ok(());
            }
            match byte {
                b'\n' => self.number()?,
                _ if self.line.len() >= 20 => return Err(TarError::Sparse),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The segments of a complete map.
    pub(super) fn segments(self) -> Result<Vec<Segment>, TarError> {
        pairs(&self.numbers)
    }

    fn number(&mut self) -> Result<(), TarError> {
        let number = decimal(&self.line).map_err(|_| TarError::Sparse)?;
        self.line.clear();
        match self.count {
            Some(_) => self.numbers.push(number),
            None => {
                let count = usize::try_from(number).map_err(|_| TarError::Sparse)?;
                check_count(count)?;
                self.count = Some(count);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_fit_the_file_and_what_is_stored() {
        assert_eq!(
            check(vec![(0, 2), (8, 1), (10, 0)], 10, 3).expect("fits"),
            [(0, 2), (8, 1)]
        );
        for (segments, size, stored) in [
            (vec![(0, 2)], 1, 2),
            (vec![(4, 1), (0, 1)], 9, 2),
            (vec![(0, 3), (2, 1)], 9, 4),
            (vec![(0, 3)], 9, 4),
            (vec![(u64::MAX, 2)], 9, 2),
        ] {
            assert!(check(segments.clone(), size, stored).is_err(), "{segments:?}");
        }
    }
}
