//! Moves bytes between a program and its channel, as fast as the slower side takes them.

use std::io;
use std::sync::Arc;

use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
        let mut buffer = vec![0; PIECE];
        loop {
            match from.read(&mut buffer).await? {
                0 => return Ok(()),
                count => self.send(lane, buffer.get(..count).unwrap_or_default()).await?,
            }
        }
    }

    /// Sends these bytes once the client's window has room for them.
    pub(super) async fn send(&self, lane: Lane, bytes: &[u8]) -> io::Result<()> {
        let _starved = match self.channel.writable_packet_size().await {
            room if room < bytes.len() => Some(self.gate.starved()),
            _ => None,
        };
        let sent = match lane {
            Lane::Output => self.channel.data_bytes(bytes.to_vec()).await,
            Lane::Error => self.channel.extended_data_bytes(1, bytes.to_vec()).await,
        };
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
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
