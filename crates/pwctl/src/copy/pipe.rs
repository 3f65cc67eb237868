//! Between a thread that reads or writes an archive and the task that sends or receives it.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// Pieces under way: 8 of 64 KiB keep both sides busy.
const UNDER_WAY: usize = 8;
const PIECE: usize = 64 * 1024;

/// The thread's end of an archive that goes out. Nothing is sent before a piece is full.
pub(super) struct Out {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

/// Both ends of an archive that goes out.
pub(super) fn outgoing() -> (Out, impl Stream<Item = io::Result<Bytes>> + Send) {
    let (sender, mut receiver) = mpsc::channel(UNDER_WAY);
    let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
    let piece = Vec::with_capacity(PIECE);
    (Out { sender, piece }, pieces)
}

impl Out {
    /// Breaks the archive off, so that nobody takes it for whole.
    pub(super) fn break_off(&self) {
        let broken = io::Error::from(io::ErrorKind::UnexpectedEof);
        // Whoever has gone needs no telling.
        let _ = self.sender.blocking_send(Err(broken));
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend(bytes.iter().take(count));
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.sender.blocking_send(Ok(piece.into()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// The thread's end of an archive that comes in.
pub(super) struct In {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

/// Both ends of an archive that comes in. Dropping the sender is its end, whole or not.
pub(super) fn incoming() -> (mpsc::Sender<Bytes>, In) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let piece = Bytes::new();
    (sender, In { receiver, piece })
}

impl Read for In {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
