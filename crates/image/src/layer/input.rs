//! The bytes of a blob on their way in: counted, hashed, and stopped when nobody wants them any more.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use model::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::LayerError;
use crate::source::{BlobInfo, SourceError};

/// Bytes read from a file at once.
const FILE_CHUNK: usize = 256 << 10;

/// How many bytes of a blob have come in; shared with whoever shows it.
pub(crate) type Progress = Arc<AtomicU64>;

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Bytestream {
    /// A download: pieces, then the end, or why there is none. A channel that closes without was given up.
    Channel(Receiver<Piece>),
    /// A file of an OCI layout.
    File(File),
}

/// A message of a download.
pub(crate) type Piece = Result<Option<Bytes>, SourceError>;

/// A blob being read. Its digest and length are checked by [`finish`](Self::finish).
pub(crate) struct BlobInput {
    stream: Bytestream,
    blob: BlobInfo,
    progress: Progress,
    cancelled: CancellationToken,
    current: Bytes,
    hasher: Sha256,
    received: u64,
    ended: bool,
    failure: Option<LayerError>,
}

impl BlobInput {
    /// Starts at the beginning of a stream.
    pub(crate) fn new(
        stream: Bytestream,
        blob: BlobInfo,
        progress: Progress,
        cancelled: CancellationToken,
    ) -> Self {
        progress.store(0, Ordering::Relaxed);
        Self {
            stream,
            blob,
            progress,
            cancelled,
            current: Bytes::new(),
            hasher: Sha256::new(),
            received: 0,
            ended: false,
            failure: None,
        }
    }

    /// The first bytes, without taking them; fewer if the blob is shorter.
    pub(super) fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.current.len() < length {
            let more = self.next()?;
            if more.is_empty() {
                break;
            }
            self.current = Bytes::from([&self.current[..], &more].concat());
        }
        Ok(&self.current[..self.current.len().min(length)])
    }

    /// What made reading fail, if the source did.
    pub(super) fn take_failure(&mut self) -> Option<LayerError> {
        self.failure.take()
    }

    /// Reads what is left and checks length and digest.
    pub(super) fn finish(&mut self) -> Result<(), LayerError> {
        while !self.ended {
            if self.next().is_err() {
                return Err(self.take_failure().unwrap_or(LayerError::Cancelled));
            }
        }
        let actual = Digest::from_sha256(self.hasher.finalize_reset().into());
        if actual != self.blob.digest {
            return Err(SourceError::Digest {
                expected: self.blob.digest,
                actual,
            }
            .into());
        }
        Ok(())
    }

    /// The next bytes, empty at the end. A failure is kept for [`take_failure`](Self::take_failure).
    fn next(&mut self) -> io::Result<Bytes> {
        match self.try_next() {
            Ok(bytes) => Ok(bytes),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                Err(io::Error::other("the source failed"))
            }
        }
    }

    fn try_next(&mut self) -> Result<Bytes, LayerError> {
        if self.cancelled.is_cancelled() {
            return Err(LayerError::Cancelled);
        }
        if self.ended {
            return Ok(Bytes::new());
        }
        let (received, expected) = (self.received, self.blob.size);
        let Some(bytes) = self.stream.read()? else {
            self.ended = true;
            return if received == expected {
                Ok(Bytes::new())
            } else {
                Err(SourceError::Truncated { received, expected }.into())
            };
        };
        self.received += bytes.len() as u64;
        if self.received > expected {
            return Err(SourceError::TooLong { expected }.into());
        }
        self.hasher.update(&bytes);
        self.progress.store(self.received, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl Bytestream {
    /// The next bytes, never empty; `None` at the end.
    fn read(&mut self) -> Result<Option<Bytes>, LayerError> {
        match self {
            Self::Channel(pieces) => loop {
                match pieces.blocking_recv().ok_or(LayerError::Cancelled)?? {
                    Some(bytes) if bytes.is_empty() => {}
                    other => return Ok(other),
                }
            },
            Self::File(file) => {
                let mut chunk = Vec::with_capacity(FILE_CHUNK);
                let read = file.take(FILE_CHUNK as u64).read_to_end(&mut chunk);
                read.map_err(|source| SourceError::Read { source })?;
                Ok((!chunk.is_empty()).then(|| Bytes::from(chunk)))
            }
        }
    }
}

impl BufRead for BlobInput {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.next()?;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for BlobInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
