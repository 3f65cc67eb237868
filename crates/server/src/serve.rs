//! Connections: accepting, limits, and closing in order.
//!
//! ```text
//!   accept ─► one of so many, and of its address? ─► TLS, in time ─► HTTP ─► router
//!                                                                     └── who asks, from where; a client that rests is let go
//! ```
//!
//! On shutdown no connection is accepted any more, requests under way are answered, event streams end, WebSockets are
//! closed, and what is left after the grace period is cut.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use control::Control;
use control::chain;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::address::{Network, client_address};
use crate::edges::{Edge, Edges, Limits};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::router::{Closing, closed, router_until};
use crate::stall::{Impatient, Upgraded};
use crate::tls::Tls;

/// How long a client may take to agree on TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// What the head of a request may hold: more than any needs. A head is refused once so much of it was read and its end is
/// not there, so one that comes in few large pieces may be up to twice as large.
const HEAD_BYTES: usize = 64 * 1024;
/// How many lines of it.
const HEAD_LINES: usize = 100;
/// How long requests under way may take once the server closes.
const GRACE: Duration = Duration::from_secs(5);
/// Rest after a failed accept: the usual cause is a lack of file descriptors, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A vanished client is noticed within 50 s of silence.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(20))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Where the API is served. A listener alone is one without TLS, with the default [`Edges`].
pub struct Door {
    /// What is listened on.
    pub listener: TcpListener,
    /// The certificate, unless it is plain HTTP.
    pub tls: Option<Tls>,
    /// Limits, rates, whom to believe.
    pub edges: Edges,
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            tls: None,
            edges: Edges::default(),
        }
    }
}

/// Serves the API until `shutdown`, then closes in order.
pub async fn serve(door: impl Into<Door>, control: Control, shutdown: impl Future<Output = ()> + Send) {
    let Door { listener, tls, edges } = door.into();
    let (close, closing) = watch::channel(false);
    let streams = TaskTracker::new();
    let router = router_until(control, closing.clone(), streams.clone(), Edge::new(&edges));
    let hall = Arc::new(Hall {
        router,
        tls: tls.as_ref().map(Tls::acceptor),
        trusted: edges.trusted_proxies,
        limits: edges.limits,
        metrics: edges.metrics,
        closing,
    });
    // Ends when it is dropped, with this function.
    let mut caretakers = JoinSet::new();
    if let Some(tls) = tls {
        caretakers.spawn(tls.look_after());
    }
    let mut connections = JoinSet::new();
    accept_until(listener, &hall, &mut connections, shutdown).await;
    close.send_replace(true);
    streams.close();
    drain(connections, &streams).await;
}

/// Serves a router of another kind on a listener of its own until `shutdown`, then closes in order.
pub(crate) async fn serve_router(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (close, closing) = watch::channel(false);
    let hall = Arc::new(Hall {
        router,
        tls: None,
        trusted: Vec::new(),
        limits,
        metrics: None,
        closing,
    });
    let mut connections = JoinSet::new();
    accept_until(listener, &hall, &mut connections, shutdown).await;
    close.send_replace(true);
    drain(connections, &TaskTracker::new()).await;
}

/// Whether who connects is a proxy that brings the requests of many.
fn speaks_for_others(peer: IpAddr, trusted: &[Network]) -> bool {
    trusted
        .iter()
        .any(|network| network.contains(peer.to_canonical()))
}

async fn accept_until(
    listener: TcpListener,
    hall: &Arc<Hall>,
    connections: &mut JoinSet<()>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limits = hall.limits;
    let places = Places::new(limits.connections, limits.connections_per_address);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let Some(place) = places.take(peer.ip(), speaks_for_others(peer.ip(), &hall.trusted)) else {
            tracing::debug!(client.address = %peer.ip(), "too many connections: one is closed unheard");
            if let Some(metrics) = &hall.metrics {
                metrics.connection_refused();
            }
            continue;
        };
        let hall = hall.clone();
        connections.spawn(async move {
            hall.receive(stream, peer).await;
            drop(place);
        });
    }
}

async fn drain(mut connections: JoinSet<()>, streams: &TaskTracker) {
    let drained = async {
        while connections.join_next().await.is_some() {}
        streams.wait().await;
    };
    if tokio::time::timeout(GRACE, drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "cutting connections that did not end in time"
        );
        connections.shutdown().await;
    }
}

/// What all connections of a listener share.
struct Hall {
    router: Router,
    tls: Option<TlsAcceptor>,
    trusted: Vec<Network>,
    limits: Limits,
    metrics: Option<Metrics>,
    closing: Closing,
}

impl Hall {
    async fn receive(&self, stream: TcpStream, peer: SocketAddr) {
        let _open = self.metrics.as_ref().map(Metrics::connection_opens);
        // Answers are small; waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        // Without these a follower whose machine vanished would be kept until something is said to it. A system that
        // does not take them keeps it so long.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
        let Some(tls) = &self.tls else {
            return self.converse(stream, peer.ip()).await;
        };
        let agreed = tokio::select! {
            agreed = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)) => agreed,
            () = closed(self.closing.clone()) => return,
        };
        match agreed {
            Ok(Ok(stream)) => self.converse(stream, peer.ip()).await,
            Ok(Err(error)) => {
                tracing::debug!(client.address = %peer.ip(), error = %error, "a client and we cannot agree on TLS");
            }
            Err(_) => {
                tracing::debug!(client.address = %peer.ip(), "a client took too long to agree on TLS");
            }
        }
    }

    /// HTTP, until one of both has enough.
    async fn converse<S>(&self, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgraded = Upgraded::default();
        let stream = Impatient::new(stream, self.limits.stall, upgraded.clone());
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = client_address(peer, request.headers(), &self.trusted);
            request.extensions_mut().insert(client);
            let (answer, upgraded) = (router.call(request), upgraded.clone());
            async move {
                let answer = answer.await?;
                let is_upgrade = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
                upgraded.store(is_upgrade, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let served = self
            .http()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut served = pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = closed(self.closing.clone()) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(client.address = %peer, error = chain(&error), "a connection broke");
        }
    }

    fn http(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_LINES);
        builder
    }
}
