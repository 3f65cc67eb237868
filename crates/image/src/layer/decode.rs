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
    Gzip(Box<MultiGzDecoder<&'a mut BlobInput>>),
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
            Ok(Self::Gzip(Box::new(MultiGzDecoder::new(input))))
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::layer::{Bytestream, CHUNK, Progress};
    use crate::source::{BlobInfo, digest_of};

    fn inflate(blob: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(blob).expect("a file");
        std::io::Seek::rewind(&mut file).expect("a file");
        let info = BlobInfo {
            digest: digest_of(blob),
            size: blob.len() as u64,
        };
        let stream = Bytestream::File(file);
        let mut input = BlobInput::new(stream, info, Progress::default(), CancellationToken::new());
        let mut inflated = Vec::new();
        let mut decoder = Decoder::new(&mut input).expect("a decoder");
        while decoder
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut inflated)
            .expect("its content")
            > 0
        {}
        inflated
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn several_members_and_frames_are_one_stream() {
        let zstd = |content: &[u8]| zstd::encode_all(content, 3).expect("memory");
        let skip = || [&[0x5a, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
        let long = [42; 300_000];
        for (blob, content) in [
            ([gzip(b"one"), gzip(b""), gzip(b"two")].concat(), &b"onetwo"[..]),
            (
                [skip(), zstd(b"one"), skip(), zstd(b""), zstd(b"two"), skip()].concat(),
                b"onetwo",
            ),
            ([gzip(&long), gzip(b"")].concat(), &long),
            ([skip(), zstd(&long), skip()].concat(), &long),
            (b"plain".to_vec(), b"plain"),
            (b"p".to_vec(), b"p"),
            (Vec::new(), b""),
        ] {
            assert_eq!(inflate(&blob), content, "{blob:?}");
        }
    }
}
