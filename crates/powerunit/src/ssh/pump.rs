//! Moves bytes between a program and its channel, as fast as the slower side takes them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

use super::gate::{Chunk, Gate};

/// As much as one SSH packet commonly carries.
const PIECE: usize = 32 << 10;

/// Which of the channel's two streams to the client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    Output,
    /// SSH_EXTENDED_DATA_STDERR (RFC 4254 section 5.2).
    Error,
}

/// The way to the client.
pub(super) struct Downlink {
    pub(super) channel: ChannelWriteHalf<Msg>,
    pub(super) gate: Arc<Gate>,
}

impl Downlink {
    /// Sends everything that can be read. A program without a client goes on until it notices.
    pub(super) async fn copy(&self, lane: Lane, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        loop {
            let bytes = poll_fn(|context| poll_piece(Pin::new(&mut from), context)).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.send(lane, bytes).await?;
        }
    }

    /// The same for a stream that may not be there.
    pub(super) async fn copy_some(&self, lane: Lane, from: Option<impl AsyncRead + Unpin>) -> io::Result<()> {
        match from {
            Some(from) => self.copy(lane, from).await,
            None => Ok(()),
        }
    }

    /// Sends these bytes once the client's window has room for them.
    pub(super) async fn send(&self, lane: Lane, bytes: Bytes) -> io::Result<()> {
        let _starved = match self.channel.writable_packet_size().await {
            room if room < bytes.len() => Some(self.gate.starved()),
            _ => None,
        };
        let sent = match lane {
            Lane::Output => self.channel.data_bytes(bytes).await,
            Lane::Error => self.channel.extended_data_bytes(1, bytes).await,
        };
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

thread_local! {
    /// What was read a moment ago, before it is as large as it must be: a stream that waits has no buffer of its own.
    static PIECE_READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// The next bytes; none at the end.
fn poll_piece(from: Pin<&mut impl AsyncRead>, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    PIECE_READ.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(from.poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
}

/// Gives a program its input, and closes it after the client's end of file.
pub(super) async fn feed(mut queue: mpsc::UnboundedReceiver<Chunk>, mut into: impl AsyncWrite + Unpin) {
    while let Some(chunk) = queue.recv().await {
        // A program that closed its input does not want the rest; leaving lets the queue go.
        if into.write_all(&chunk.bytes).await.is_err() {
            return;
        }
    }
    let _ = into.shutdown().await;
}
