//! Holds a connection's reading back while its programs are slow to take their input.
//!
//! The SSH library widens a channel's window as soon as data arrives, not when somebody has used it, and its loop
//! stops altogether when a channel's queue is full: then the output that would let the program go on stays unsent, and
//! `ssh vm cat <big >copy` never ends. So input is queued without a limit of its own, and the limit is here, in
//! front of the library:
//!
//! ```text
//!   socket ──► Gate ──► library ──► queue ──► program's input
//!                ▲                    │ counted
//!                └── closed above HIGH, open again below
//! ```
//!
//! While output waits for the client to widen its window, the gate stays open up to HARD: that permission may stand
//! behind the very data it holds back.
//!
//! The limit is the connection's, since the library lets nobody else widen a channel's window: a program that reads
//! nothing while its client goes on sending holds up the input of the connection's other channels.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes queued on one connection before reading stops.
const HIGH: usize = 2 << 20;
/// The same while output waits for the client.
const HARD: usize = 16 << 20;

/// What the parts of one connection know of each other.
#[derive(Debug, Default)]
pub(super) struct Gate {
    queued: AtomicUsize,
    starved: AtomicUsize,
    /// The connection is to end, whatever is queued.
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

/// Input on its way to a program; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    gate: Arc<Gate>,
}

/// Counts an output that waits for the client, until it is dropped.
#[derive(Debug)]
pub(super) struct Starved(Arc<Gate>);

impl Gate {
    /// Counts input that was read and not yet used.
    pub(super) fn chunk(self: &Arc<Self>, bytes: Bytes) -> Chunk {
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        Chunk {
            bytes,
            gate: Arc::clone(self),
        }
    }

    /// Notes that output waits for the client's window.
    pub(super) fn starved(self: &Arc<Self>) -> Starved {
        self.starved.fetch_add(1, Ordering::Relaxed);
        self.wake();
        Starved(Arc::clone(self))
    }

    /// From now on reading and writing fail.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        let limit = if self.starved.load(Ordering::Relaxed) > 0 {
            HARD
        } else {
            HIGH
        };
        self.queued.load(Ordering::Relaxed) < limit
    }

    fn wake(&self) {
        let waker = self.reader.lock().ok().and_then(|mut reader| reader.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn sleep(&self, context: &Context<'_>) {
        if let Ok(mut reader) = self.reader.lock() {
            *reader = Some(context.waker().clone());
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.gate.queued.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        if self.gate.is_open() {
            self.gate.wake();
        }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.0.starved.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose reading obeys a gate.
#[derive(Debug)]
pub(super) struct Gated<S> {
    stream: S,
    gate: Arc<Gate>,
}

impl<S> Gated<S> {
    pub(super) fn new(stream: S, gate: Arc<Gate>) -> Self {
        Self { stream, gate }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Before the look: what changes after it wakes us.
        self.gate.sleep(context);
        self.gate.check()?;
        if !self.gate.is_open() {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.gate.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn one_that_was_cut_neither_reads_nor_writes_even_while_it_is_closed() {
        use tokio::io::AsyncWriteExt;
        let gate = Arc::new(Gate::default());
        let mut stream = Gated::new(tokio::io::empty(), Arc::clone(&gate));
        let _chunk = gate.chunk(vec![0; HIGH].into());
        gate.cut();
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), aborted);
        assert_eq!(stream.write_u8(1).await.unwrap_err().kind(), aborted);
    }

    #[test]
    fn reading_stops_when_much_is_queued_and_goes_on_when_it_is_used() {
        let gate = Arc::new(Gate::default());
        let mut stream = Gated::new(&b"abc"[..], Arc::clone(&gate));
        let mut buffer = [0; 1];
        let mut read = || {
            let mut reading = std::pin::pin!(stream.read(&mut buffer));
            reading
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        assert!(read());
        let chunk = gate.chunk(vec![0; HIGH].into());
        assert!(!read(), "above HIGH");
        let starved = gate.starved();
        assert!(read(), "output waits for the client");
        drop(starved);
        assert!(!read());
        drop(chunk);
        assert!(read());
    }
}
