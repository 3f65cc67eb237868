//! Why a role cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a role cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("the log filter cannot be used; write error, warn, info, debug, or target=level")]
    LogFilter(#[source] tracing_subscriber::filter::ParseError),
    #[error("failed to start the run-time")]
    Runtime(#[source] io::Error),
    #[error("pitwall needs root for VMs and their network; run it with sudo")]
    NotRoot,
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
    #[error("failed to use {path}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("the VMM cannot be used; pitwall doctor tells more")]
    Driver(#[from] driver::DriverError),
    #[error(
        "{count} VMs run under {other}, which the driver {wanted} cannot take over; end them with pitwall down and the \
         driver {other}, or set host.driver = \"{other}\""
    )]
    OtherDriver {
        wanted: &'static str,
        other: &'static str,
        count: usize,
    },
    #[error("the image cache cannot be opened")]
    Images(#[from] image::OpenError),
    #[error("the host cannot be taken over")]
    Orchestrator(#[from] orchestrator::StartError),
    #[error("the host network cannot be made")]
    Network(#[from] orchestrator::network::NetworkError),
    #[error("the database cannot be opened")]
    Store(#[from] store::StoreError),
    #[error("the control plane failed")]
    Control(#[from] control::Error),
    #[error(
        "the running pitwall does not renew its admin token; where it is reached by another address, say which with \
         --url, or stop it and run this again"
    )]
    AdminToken { source: super::own::OwnError },
    #[error("the running pitwall has made a token and not shown it; nothing is changed here: run this again")]
    AdminTokenLost,
    #[error(
        "{} holds a new token, but the old one is not revoked and goes on being valid; revoke it with: pwctl token ls, \
         then pwctl token rm ID", path.display()
    )]
    OldAdminToken { path: PathBuf, source: api::ClientError },
    #[error("failed to listen on {address}; another program may have the port: choose one with {flag}")]
    Listen {
        address: SocketAddr,
        flag: &'static str,
        source: io::Error,
    },
    #[error("the certificate of the settings cannot be served; correct tls_cert and tls_key")]
    Tls(#[from] server::TlsError),
    #[error(transparent)]
    Metrics(#[from] server::MetricsError),
}
