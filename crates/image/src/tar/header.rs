//! The 512-byte header block, as V7, ustar (POSIX 1003.1-1988), star and GNU tar write it.

use super::{Segment, TarError};

/// Bytes per tar block.
pub(super) const BLOCK: usize = 512;

/// A header block and the meaning of its fields.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// Checks the checksum; `None` for a block of zeros, which ends an archive.
    pub(super) fn parse(block: &'a [u8; BLOCK], at: u64) -> Result<Option<Self>, TarError> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Self(block);
        let stored = header.number(148..156, "checksum")?;
        let sums = |start, widen: fn(u8) -> i64| {
            let counted = block.iter().enumerate().filter(|(i, _)| !(148..156).contains(i));
            counted.fold(start, |sum: i64, (_, &byte)| sum + widen(byte))
        };
        let blanks = 8 * i64::from(b' ');
        // Some old writers summed signed bytes.
        let signed = sums(blanks, |byte| i64::from(byte.cast_signed()));
        if stored != sums(blanks, i64::from) && stored != signed {
            return Err(TarError::Checksum { at });
        }
        Ok(Some(header))
    }

    /// The type flag.
    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The name, with its prefix in formats that have one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let is_ustar = &self.0[257..263] == b"ustar\0";
        let is_star = is_ustar && &self.0[508..512] == b"tar\0";
        let prefix = match (is_ustar, is_star) {
            (_, true) => text(&self.0[345..476]),
            (true, false) => text(&self.0[345..500]),
            (false, false) => &[],
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    /// The link name.
    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    /// Permission bits.
    pub(super) fn mode(&self) -> Result<i64, TarError> {
        self.number(100..108, "mode")
    }

    /// Owner.
    pub(super) fn uid(&self) -> Result<i64, TarError> {
        self.number(108..116, "uid")
    }

    /// Group.
    pub(super) fn gid(&self) -> Result<i64, TarError> {
        self.number(116..124, "gid")
    }

    /// Bytes of the body in the archive.
    pub(super) fn size(&self) -> Result<i64, TarError> {
        self.number(124..136, "size")
    }

    /// Whole seconds since the epoch.
    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        self.number(136..148, "mtime")
    }

    /// Major and minor device numbers; V7 headers have none.
    pub(super) fn device(&self) -> Result<(i64, i64), TarError> {
        Ok((
            self.number(329..337, "devmajor")?,
            self.number(337..345, "devminor")?,
        ))
    }

    /// The real size of an old-GNU sparse file.
    pub(super) fn sparse_size(&self) -> Result<u64, TarError> {
        positive(number(&self.0[483..495], "real size")?, "real size")
    }

    /// The four sparse segments an old-GNU header has room for, and whether blocks with more follow.
    pub(super) fn sparse_segments(&self) -> Result<(Vec<Segment>, bool), TarError> {
        Ok((segments(&self.0[386..482])?, self.0[482] != 0))
    }

    fn number(&self, field: std::ops::Range<usize>, name: &'static str) -> Result<i64, TarError> {
        number(&self.0[field], name)
    }
}

/// The segments of an old-GNU sparse extension block, and whether another follows.
pub(super) fn sparse_extension(block: &[u8; BLOCK]) -> Result<(Vec<Segment>, bool), TarError> {
    Ok((segments(&block[..504])?, block[504] != 0))
}

fn segments(fields: &[u8]) -> Result<Vec<Segment>, TarError> {
    let used = fields.chunks_exact(24).take_while(|pair| pair[0] != 0);
    used.map(|pair| {
        let (offset, length) = pair.split_at(12);
        let offset = positive(number(offset, "sparse offset")?, "sparse offset")?;
        Ok((
            offset,
            positive(number(length, "sparse length")?, "sparse length")?,
        ))
    })
    .collect()
}

/// A number that must not be negative.
pub(super) fn positive(number: i64, field: &'static str) -> Result<u64, TarError> {
    u64::try_from(number).map_err(|_| TarError::Number { field })
}

/// Octal digits between blanks, or GNU's big-endian two's complement marked by the first bit.
fn number(field: &[u8], name: &'static str) -> Result<i64, TarError> {
    let bad = || TarError::Number { field: name };
    match field.first() {
        Some(&first) if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let start = i64::from(first & 0x3f) | if negative { !0x3f } else { 0 };
            field[1..].iter().try_fold(start, |value, &byte| {
                Some(value.checked_mul(256)? | i64::from(byte))
            })
        }
        Some(_) => {
            let digits = text(field).trim_ascii();
            digits.iter().try_fold(0i64, |value, &digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
        None => Some(0),
    }
    .ok_or_else(bad)
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_as_tar_programs_write_them() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"77777777777\0", 0o77_777_777_777),
            (b"\x80\0\0\0\0\0\0\0\x02\0\0\0", 0x0200_0000),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
        ] {
            assert_eq!(number(field, "x").expect("a number"), value, "{field:?}");
        }
        assert!(number(b"00008\0", "x").is_err());
        assert!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "x").is_err());
    }
}
