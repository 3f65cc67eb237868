//! Connections whose client has not shown who it is.
//!
//! ```text
//!   accepted ──► room in the lobby? ──yes──► Place ──good key──► out of the lobby, as long as it likes
//!                     │ no                     │
//!                     ▼                        ├─ LOGIN_WITHIN passes, too many bytes ──► cut
//!       the one that is here longest, if       │
//!       longer than PATIENCE, makes room ──────┘
//! ```
//!
//! Always holds: however many clients connect and say nothing, one with a good key gets a place within PATIENCE. Its own
//! place is safe for that long, so many that log in at the same moment do not push each other out.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// How many, how long, how much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once, known and unknown; each costs about 40 KB. Further ones wait in the listening socket.
    pub(super) connections: usize,
    /// Those among them that may be unknown.
    pub(super) unknown: usize,
    /// From the first byte to a good key: a person may have to type a passphrase or touch a token.
    pub(super) login_within: Duration,
    /// How long an unknown one keeps its place while others wait for one.
    pub(super) patience: Duration,
    /// Bytes that one may send before it is known: a key exchange and ten large certificates.
    pub(super) bytes: usize,
    /// A client that says nothing is asked so often, and is dead after four questions. Each wakes the VM: shorter would
    /// keep an idle one from resting, longer would keep dead clients' programs for more than ten minutes. A client
    /// behind a NAT that forgets sooner asks by itself (`ServerAliveInterval`).
    pub(super) keepalive: Duration,
}

impl Limits {
    pub(super) const ORDINARY: Self = Self {
        connections: 256,
        unknown: 128,
        login_within: Duration::from_secs(120),
        patience: Duration::from_secs(5),
        bytes: 512 << 10,
        keepalive: Duration::from_secs(150),
    };
}

/// One that was cut needs a moment to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// All who wait to be known, and the room there is.
#[derive(Debug)]
pub(super) struct Lobby {
    limits: Limits,
    connections: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    here: Mutex<Here>,
}

/// By number: the smallest is here longest.
#[derive(Debug, Default)]
struct Here {
    next: u64,
    unknown: BTreeMap<u64, Unknown>,
}

#[derive(Debug)]
struct Unknown {
    since: Instant,
    /// The same socket once more, to end it from here.
    socket: std::net::TcpStream,
    cut: Arc<Notify>,
}

/// One connection's place in the lobby, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lobby: Arc<Lobby>,
    number: u64,
    cut: Arc<Notify>,
    allowance: Arc<Allowance>,
    _room: OwnedSemaphorePermit,
}

impl Lobby {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: Arc::new(Semaphore::new(limits.connections)),
            unknown: Arc::new(Semaphore::new(limits.unknown)),
            here: Mutex::default(),
        }
    }

    /// Waits for room, and makes some where an unknown one has been here long. The permit is for the whole connection,
    /// the place until its client is known.
    pub(super) async fn enter(
        self: &Arc<Self>,
        stream: &TcpStream,
    ) -> io::Result<(OwnedSemaphorePermit, Place)> {
        let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        let (connection, room) = self.room().await?;
        let (cut, allowance) = (Arc::default(), Arc::new(Allowance::new(self.limits.bytes)));
        let mut here = self.here();
        let number = here.next;
        here.next = number.wrapping_add(1);
        let unknown = Unknown {
            since: Instant::now(),
            socket,
            cut: Arc::clone(&cut),
        };
        here.unknown.insert(number, unknown);
        let place = Place {
            lobby: Arc::clone(self),
            number,
            cut,
            allowance,
            _room: room,
        };
        Ok((connection, place))
    }

    async fn room(&self) -> io::Result<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let both = async {
            let connection = Arc::clone(&self.connections).acquire_owned().await;
            let unknown = Arc::clone(&self.unknown).acquire_owned().await;
            connection.and_then(|connection| Ok((connection, unknown?)))
        };
        let mut both = pin!(both);
        let mut not_before = Instant::now();
        loop {
            let Some((number, since)) = self.longest() else {
                return both.await.map_err(io::Error::other);
            };
            let due = since.checked_add(self.limits.patience).unwrap_or(since);
            tokio::select! {
                biased;
                both = &mut both => return both.map_err(io::Error::other),
                () = sleep_until(due.max(not_before)) => {
                    self.cut(number);
                    not_before = Instant::now().checked_add(LEAVES_WITHIN).unwrap_or(not_before);
                }
            }
        }
    }

    fn longest(&self) -> Option<(u64, Instant)> {
        let here = self.here();
        let first = here.unknown.first_key_value();
        first.map(|(number, unknown)| (*number, unknown.since))
    }

    /// Ends the connection with this number, unless its client is known or gone.
    pub(super) fn cut(&self, number: u64) {
        if let Some(unknown) = self.here().unknown.remove(&number) {
            // It may have ended by itself.
            let _ = unknown.socket.shutdown(Shutdown::Both);
            unknown.cut.notify_one();
        }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Ends when the connection was cut.
    pub(super) async fn was_cut(&self) {
        self.cut.notified().await;
    }

    /// The stream, which fails when its client has sent too much while it had this place.
    pub(super) fn meter<S>(&self, stream: S) -> Metered<S> {
        Metered {
            stream,
            allowance: Arc::clone(&self.allowance),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.here().unknown.remove(&self.number);
        self.allowance.lift();
    }
}

/// Bytes that a client may still send.
#[derive(Debug)]
struct Allowance(AtomicUsize);

/// More than any limit: nothing is counted any more.
const LIFTED: usize = usize::MAX;

impl Allowance {
    fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn lift(&self) {
        self.0.store(LIFTED, Ordering::Relaxed);
    }

    /// Whether so many more are within it.
    fn spend(&self, bytes: usize) -> bool {
        let spent = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
                LIFTED => Some(LIFTED),
                left => left.checked_sub(bytes),
            });
        spent.is_ok()
    }
}

/// A stream whose reading is limited while its client is unknown.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    allowance: Arc<Allowance>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = before.saturating_sub(buffer.remaining());
        Poll::Ready(if self.allowance.spend(read) {
            Ok(())
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
