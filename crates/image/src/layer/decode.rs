//! Inflating a layer, whatever its media type claims: the first bytes tell, as they do for other engines.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::input::BlobInput;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The first four bits of a zstd skippable frame's number vary (RFC 8878 section 3.1.2).
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// The archive inside a blob.
pub(super) enum Decoder<'a> {
    Gzip(MultiGzDecoder<&'a mut BlobInput>),
    Zstd(ZstdDecoder<'static, &'a mut BlobInput>),
    Plain(&'a mut BlobInput),
}

impl<'a> Decoder<'a> {
    /// Looks at the first bytes.
    pub(super) fn new(input: &'a mut BlobInput) -> io::Result<Self> {
        let start = input.peek(4)?;
        let skippable =
            start.first().is_some_and(|byte| byte & 0xf0 == 0x50) && start.get(1..4) == Some(ZSTD_SKIPPABLE);
        if start.starts_with(GZIP) {
            Ok(Self::Gzip(MultiGzDecoder::new(input)))
        } else if start.starts_with(ZSTD) || skippable {
            ZstdDecoder::with_buffer(input).map(Self::Zstd)
        } else {
            Ok(Self::Plain(input))
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Plain(input) => input.read(buffer),
        }
    }
}
