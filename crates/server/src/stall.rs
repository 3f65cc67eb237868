//! A stream that gives up on a reader who takes nothing.
//!
//! A client that asks and does not read holds its answer and a connection for ever, and it costs it nothing. The limit is
//! on rest, not on speed: each byte that gets away begins it anew. It ends where the connection becomes a WebSocket,
//! whose relay has limits of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Set when a connection has become a WebSocket.
pub(crate) type Upgraded = Arc<AtomicBool>;

/// See the top of this module.
pub(crate) struct Impatient<S> {
    stream: S,
    limit: Duration,
    upgraded: Upgraded,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(crate) const fn new(stream: S, limit: Duration, upgraded: Upgraded) -> Self {
        Self {
            stream,
            limit,
            upgraded,
            patience: None,
        }
    }

    /// What a write gave, or that it has waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() || self.upgraded.load(Ordering::Relaxed) {
            self.patience = None;
            return written;
        }
        let limit = self.limit;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client reads nothing",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_rests_for_too_long_is_given_up() {
        let (near, _far) = duplex(8);
        let mut near = Impatient::new(near, LIMIT, Upgraded::default());
        let began = tokio::time::Instant::now();
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_served() {
        let (near, mut far) = duplex(8);
        let mut near = Impatient::new(near, LIMIT, Upgraded::default());
        let reader = tokio::spawn(async move {
            let mut read = 0;
            while far.read_u8().await.is_ok() {
                read += 1;
                tokio::time::sleep(LIMIT / 10).await;
            }
            read
        });
        near.write_all(&[0; 64]).await.unwrap();
        drop(near);
        assert_eq!(reader.await.unwrap(), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_may_be_left_unread() {
        let (near, mut far) = duplex(8);
        let mut near = Impatient::new(near, LIMIT, Arc::new(AtomicBool::new(true)));
        let writer = tokio::spawn(async move { near.write_all(&[0; 64]).await });
        tokio::time::sleep(LIMIT * 10).await;
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(all.len(), 64);
    }
}
