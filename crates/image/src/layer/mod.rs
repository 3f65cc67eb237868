//! Taking in one layer: its blob goes in, a directory with its data blob and entry list comes out.
//!
//! ```text
//!   bytes ─► SHA-256 of the blob ─► inflate ─┬─► SHA-256 of the archive (the diff id)
//!            └──────── this thread ────────┘  └─► read the archive, write the data blob
//!                       bounded channels ─────►    a thread each
//! ```
//!
//! What always holds: nothing is handed out unless both digests match and the source was read to its end, and
//! no more than a few MiB are in flight. Which error is told is decided by what explains most: a failing
//! source, then a full disk, then a wrong digest, then what a wrong digest would cause.

mod blob;
mod decode;
mod input;
mod path;
mod unpack;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;
use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::codec;
use crate::config::Limits;
use crate::source::SourceError;
use decode::Decoder;
pub(crate) use input::{BlobInput, Bytestream, Piece, Progress};
pub(crate) use unpack::{UnpackError, Unpacked};

/// Bytes of inflated archive per message.
const CHUNK: usize = 256 << 10;

/// Messages in flight to each thread.
const IN_FLIGHT: usize = 8;

/// The names of a layer's files in its directory.
pub(crate) const DATA: &str = "data";
pub(crate) const ENTRIES: &str = "entries";

/// Why a layer is not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("its blob cannot be read")]
    Source(#[from] SourceError),
    #[error("its compression is damaged")]
    Decode(#[source] io::Error),
    #[error("its compressed data ends too early")]
    Truncated,
    #[error("its content cannot be used")]
    Unpack(#[from] UnpackError),
    #[error("its archive has the digest {actual}, the image's configuration says {expected}")]
    DiffId { expected: Digest, actual: Digest },
    #[error("it cannot be written to the store")]
    Store(#[source] io::Error),
    #[error("a thread for it cannot be started")]
    Thread(#[source] io::Error),
    #[error("it was given up")]
    Cancelled,
}

/// Reads a blob to its end and leaves `data` (unless empty) and `entries` in `directory`, synced.
pub(crate) fn take_in(
    mut input: BlobInput,
    diff_id: &Digest,
    directory: &Path,
    limits: &Limits,
) -> Result<(), LayerError> {
    let data_path = directory.join(DATA);
    let data = File::create_new(&data_path).map_err(LayerError::Store)?;
    let (decoded, unpacked, actual) = pipeline(&mut input, data, limits)?;
    if let Some(failure) = input.take_failure() {
        return Err(failure);
    }
    if let Err(error @ UnpackError::Write(_)) = unpacked {
        return Err(error.into());
    }
    input.finish()?;
    decoded.map_err(decode_failed)?;
    let unpacked = unpacked?;
    if actual != *diff_id {
        return Err(LayerError::DiffId {
            expected: *diff_id,
            actual,
        });
    }
    write_entries(&unpacked, directory).map_err(LayerError::Store)?;
    if unpacked.length == 0 {
        std::fs::remove_file(data_path).map_err(LayerError::Store)?;
    }
    Ok(())
}

fn decode_failed(error: io::Error) -> LayerError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        LayerError::Truncated
    } else {
        LayerError::Decode(error)
    }
}

/// How inflating ended, how reading the archive ended, and the archive's digest.
type Outcome = (io::Result<()>, Result<Unpacked, UnpackError>, Digest);

fn pipeline(input: &mut BlobInput, data: File, limits: &Limits) -> Result<Outcome, LayerError> {
    let (to_hash, hashed) = sync_channel::<Bytes>(IN_FLIGHT);
    let (to_unpack, unpacked) = sync_channel::<Bytes>(IN_FLIGHT);
    thread::scope(|scope| {
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let hasher = named("layer-hash")
            .spawn_scoped(scope, move || hash(hashed))
            .map_err(LayerError::Thread)?;
        let unpacker = named("layer-unpack")
            .spawn_scoped(scope, move || unpack_all(unpacked, data, limits))
            .map_err(LayerError::Thread)?;
        let decoded = decode(input, &to_hash, &to_unpack);
        drop((to_hash, to_unpack));
        let join_failed = |_| LayerError::Thread(io::Error::other("it ended without a result"));
        let unpacked = unpacker.join().map_err(join_failed)?;
        Ok((decoded, unpacked, hasher.join().map_err(join_failed)?))
    })
}

/// Inflates and passes on, until the end or until nobody listens any more.
fn decode(
    input: &mut BlobInput,
    to_hash: &SyncSender<Bytes>,
    to_unpack: &SyncSender<Bytes>,
) -> io::Result<()> {
    let mut decoder = Decoder::new(input)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let length = decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        let chunk = Bytes::from(chunk);
        if length == 0 || to_unpack.send(chunk.clone()).is_err() || to_hash.send(chunk).is_err() {
            return Ok(());
        }
    }
}

fn hash(chunks: Receiver<Bytes>) -> Digest {
    let mut hasher = Sha256::new();
    chunks.iter().for_each(|chunk| hasher.update(&chunk));
    Digest::from_sha256(hasher.finalize().into())
}

fn unpack_all(chunks: Receiver<Bytes>, data: File, limits: &Limits) -> Result<Unpacked, UnpackError> {
    let mut chunks = Chunks {
        chunks,
        current: Bytes::new(),
    };
    let unpacked = unpack::unpack(&mut chunks, data, limits)?;
    // What follows the archive's end still belongs to the digest.
    chunks.chunks.iter().for_each(drop);
    Ok(unpacked)
}

fn write_entries(layer: &Unpacked, directory: &Path) -> io::Result<()> {
    let mut file = File::create_new(directory.join(ENTRIES))?;
    io::Write::write_all(&mut file, &codec::encode(layer))?;
    file.sync_all()
}

/// A channel of chunks, read as one stream.
struct Chunks {
    chunks: Receiver<Bytes>,
    current: Bytes,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.chunks.recv().unwrap_or_default();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        bytes::Buf::advance(&mut self.current, amount);
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
