//! The form in which a layer's entries rest in the store.
//!
//! ```text
//!   "PWLAYER" version │ blob length │ count │ entry … entry │ CRC-32C of all before, little-endian
//! ```
//!
//! Numbers are LEB128, strings a length and bytes; signed numbers are zigzag. A list that is damaged, or of
//! another version, is no list: the layer is taken in again.

use crate::entry::{Attrs, Body, Change, Entry, Kind, Time, Xattr};
use crate::layer::Unpacked;

const MAGIC: &[u8; 8] = b"PWLAYER\x01";

/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// Writes a list.
pub(crate) fn encode(layer: &Unpacked) -> Vec<u8> {
    let mut out = Writer(MAGIC.to_vec());
    out.number(layer.length);
    out.number(layer.entries.len() as u64);
    for entry in &layer.entries {
        out.bytes(&entry.path);
        out.change(&entry.change);
    }
    let checksum = crc32c::crc32c(&out.0);
    out.0.extend_from_slice(&checksum.to_le_bytes());
    out.0
}

/// Reads a list; `None` if it is not one, or damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Unpacked> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if crc32c::crc32c(content).to_le_bytes() != checksum {
        return None;
    }
    let mut input = Reader(content.strip_prefix(MAGIC)?);
    let length = input.number()?;
    let count = input.number()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(Entry {
            path: input.bytes()?,
            change: input.change()?,
        });
    }
    input.0.is_empty().then_some(Unpacked { entries, length })
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Whiteout => self.0.push(0),
            Change::Opaque => self.0.push(1),
            Change::Link { target } => {
                self.0.push(2);
                self.bytes(target);
            }
            Change::Node { attrs, kind } => {
                self.kind(kind);
                self.attrs(attrs);
            }
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Directory => self.0.push(3),
            Kind::Fifo => self.0.push(4),
            Kind::Symlink { target } => {
                self.0.push(5);
                self.bytes(target);
            }
            Kind::Device { block, major, minor } => {
                self.0.push(if *block { 7 } else { 6 });
                self.number(u64::from(*major));
                self.number(u64::from(*minor));
            }
            Kind::File { size, body } => {
                self.0.push(match body {
                    Body::Empty => 8,
                    Body::Dense { .. } => 9,
                    Body::Chunked { .. } => 10,
                });
                self.number(*size);
                self.body(body);
            }
        }
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Empty => {}
            Body::Dense { block } => self.number(u64::from(*block)),
            Body::Chunked { bits, chunks } => {
                self.0.push(*bits);
                self.number(chunks.len() as u64);
                for &chunk in chunks {
                    self.number(u64::from(chunk));
                }
            }
        }
    }

    fn attrs(&mut self, attrs: &Attrs) {
        self.number(u64::from(attrs.mode));
        self.number(u64::from(attrs.uid));
        self.number(u64::from(attrs.gid));
        let seconds = attrs.mtime.seconds;
        self.number((seconds.cast_unsigned() << 1) ^ (seconds >> 63).cast_unsigned());
        self.number(u64::from(attrs.mtime.nanos));
        self.number(attrs.xattrs.len() as u64);
        for xattr in &attrs.xattrs {
            self.bytes(&xattr.name);
            self.bytes(&xattr.value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<Box<[u8]>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.into())
    }

    fn change(&mut self) -> Option<Change> {
        let kind = match self.byte()? {
            0 => return Some(Change::Whiteout),
            1 => return Some(Change::Opaque),
            2 => {
                return Some(Change::Link {
                    target: self.bytes()?,
                });
            }
            3 => Kind::Directory,
            4 => Kind::Fifo,
            5 => Kind::Symlink {
                target: self.bytes()?,
            },
            tag @ (6 | 7) => Kind::Device {
                block: tag == 7,
                major: self.small()?,
                minor: self.small()?,
            },
            8 => Kind::File {
                size: self.number()?,
                body: Body::Empty,
            },
            9 => Kind::File {
                size: self.number()?,
                body: Body::Dense { block: self.small()? },
            },
            10 => Kind::File {
                size: self.number()?,
                body: self.chunked()?,
            },
            _ => return None,
        };
        Some(Change::Node {
            attrs: self.attrs()?,
            kind,
        })
    }

    fn chunked(&mut self) -> Option<Body> {
        let bits = self.byte()?;
        let count = self.number()?;
        let mut chunks = Vec::new();
        for _ in 0..count {
            chunks.push(self.small()?);
        }
        Some(Body::Chunked { bits, chunks })
    }

    fn attrs(&mut self) -> Option<Attrs> {
        let mode = self.number()?.try_into().ok()?;
        let (uid, gid) = (self.small()?, self.small()?);
        let seconds = self.number()?;
        let seconds = (seconds >> 1).cast_signed() ^ -(seconds & 1).cast_signed();
        let mtime = Time {
            seconds,
            nanos: self.small()?,
        };
        let count = self.number()?;
        let mut xattrs = Vec::new();
        for _ in 0..count {
            xattrs.push(Xattr {
                name: self.bytes()?,
                value: self.bytes()?,
            });
        }
        Some(Attrs {
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Box<[u8]>> {
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Vec::into_boxed_slice)
    }

    fn attrs() -> impl Strategy<Value = Attrs> {
        let xattrs = prop::collection::vec((bytes(), bytes()), 0..3);
        (
            any::<u16>(),
            any::<u32>(),
            any::<u32>(),
            any::<i64>(),
            any::<u32>(),
            xattrs,
        )
            .prop_map(|(mode, uid, gid, seconds, nanos, xattrs)| Attrs {
                mode,
                uid,
                gid,
                mtime: Time { seconds, nanos },
                xattrs: xattrs
                    .into_iter()
                    .map(|(name, value)| Xattr { name, value })
                    .collect(),
            })
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Directory),
            Just(Kind::Fifo),
            bytes().prop_map(|target| Kind::Symlink { target }),
            (any::<bool>(), any::<u32>(), any::<u32>()).prop_map(|(block, major, minor)| Kind::Device {
                block,
                major,
                minor
            }),
            any::<u64>().prop_map(|size| Kind::File {
                size,
                body: Body::Empty
            }),
            (any::<u64>(), any::<u32>()).prop_map(|(size, block)| Kind::File {
                size,
                body: Body::Dense { block }
            }),
            (
                any::<u64>(),
                any::<u8>(),
                prop::collection::vec(any::<u32>(), 0..5)
            )
                .prop_map(|(size, bits, chunks)| Kind::File {
                    size,
                    body: Body::Chunked { bits, chunks }
                }),
        ]
    }

    fn layer() -> impl Strategy<Value = Unpacked> {
        let change = prop_oneof![
            Just(Change::Whiteout),
            Just(Change::Opaque),
            bytes().prop_map(|target| Change::Link { target }),
            (attrs(), kind()).prop_map(|(attrs, kind)| Change::Node { attrs, kind }),
        ];
        let entry = (bytes(), change).prop_map(|(path, change)| Entry { path, change });
        (prop::collection::vec(entry, 0..8), any::<u64>())
            .prop_map(|(entries, length)| Unpacked { entries, length })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(layer in layer()) {
            let read = decode(&encode(&layer)).expect("a whole list");
            prop_assert_eq!(read.entries, layer.entries);
            prop_assert_eq!(read.length, layer.length);
        }

        #[test]
        fn damage_is_seen(layer in layer(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = encode(&layer);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_none());
        }

        #[test]
        fn nonsense_with_a_good_checksum_ends_well(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = [&MAGIC[..], &content].concat();
            bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            decode(&bytes);
        }
    }
}
