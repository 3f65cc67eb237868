//! Connections: accepting, limits, and closing in order.
//!
//! On shutdown no connection is accepted any more, requests under way are answered, event streams end, WebSockets are
//! closed, and what is left after the grace period is cut.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use control::Control;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::router::{Closing, closed, router_until};

/// How long a client may take to send the head of a request; a slower one holds a connection for nothing.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// How long requests under way may take once the server closes.
const GRACE: Duration = Duration::from_secs(5);
/// Rest after a failed accept: the usual cause is a lack of file descriptors, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A vanished client is noticed within 50 s of silence.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(20))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Serves the API on a listener until `shutdown`, then closes in order.
pub async fn serve(listener: TcpListener, control: Control, shutdown: impl Future<Output = ()> + Send) {
    let (close, closing) = watch::channel(false);
    let streams = TaskTracker::new();
    let router = router_until(control, closing.clone(), streams.clone());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, router.clone(), closing.clone()))),
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    close.send_replace(true);
    streams.close();
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

async fn connection(stream: TcpStream, router: Router, closing: Closing) {
    // Answers are small; waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    // Without these a follower whose machine vanished would be kept until something is said to it. A system that does
    // not take them keeps it so long.
    let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let served = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closed(closing) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection broke");
    }
}
