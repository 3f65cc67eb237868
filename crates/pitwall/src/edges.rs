//! The listeners of the control plane, built from the settings.

use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use server::{Door, Edges, Metrics, Tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::DoorSettings;
use crate::roles::RoleError;

/// File descriptors for all but connections: database, images, VMMs.
const OTHER_FILES: u64 = 1024;

/// The API's listener, its certificate and its edge.
pub(crate) async fn door(
    listen: SocketAddr,
    settings: &DoorSettings,
    metrics: Metrics,
) -> Result<Door, RoleError> {
    // Before the port opens: with a certificate that cannot be used there is nothing to open it for.
    let tls = settings.tls.clone().map(Tls::open).transpose()?;
    allow_files(settings.limits.connections as u64 + OTHER_FILES);
    let listener = bind(listen, "--listen").await?;
    if tls.is_none() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "the API listens beyond this machine without TLS, as insecure_listen says");
    }
    Ok(Door {
        listener,
        tls,
        edges: Edges {
            rates: settings.rates,
            limits: settings.limits,
            trusted_proxies: settings.trusted_proxies.clone(),
            metrics: Some(metrics),
        },
    })
}

/// The listener of the metrics, unless there is none.
pub(crate) async fn metrics_listener(settings: &DoorSettings) -> Result<Option<TcpListener>, RoleError> {
    match settings.metrics_listen {
        Some(address) => bind(address, "--metrics-listen").await.map(Some),
        None => Ok(None),
    }
}

/// Serves the metrics until `shutdown`, where there is a listener for them.
pub(crate) async fn serve_metrics(
    listener: Option<TcpListener>,
    control: control::Control,
    metrics: Metrics,
    shutdown: &CancellationToken,
) {
    if let Some(listener) = listener {
        server::serve_metrics(listener, control, metrics, shutdown.cancelled()).await;
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, RoleError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| RoleError::Listen {
        address,
        flag,
        source,
    })
}

/// Lets this process open so many files, as far as it may.
fn allow_files(wanted: u64) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| match soft < wanted.min(hard) {
        true => setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard),
        false => Ok(()),
    });
    if let Err(error) = raised {
        tracing::warn!(%error, wanted, "the number of files that may be open cannot be raised");
    }
}
