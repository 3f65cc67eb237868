//! The listener of `/metrics`: plain HTTP, no sign-in, nothing else.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::Control;
use control::chain;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus::TEXT_FORMAT;
use tokio::net::TcpListener;

use super::Metrics;
use crate::edges::Limits;
use crate::serve::serve_router;

/// Connections at once: Prometheus needs one.
const CONNECTIONS: usize = 16;

/// Serves the metrics on a listener until `shutdown`.
pub async fn serve_metrics(
    listener: TcpListener,
    control: Control,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Send,
) {
    let router = Router::new()
        .route("/metrics", get(page))
        .with_state((control, metrics));
    let limits = Limits {
        connections: CONNECTIONS,
        ..Limits::default()
    };
    serve_router(listener, router, limits, shutdown).await;
}

async fn page(State((control, metrics)): State<(Control, Metrics)>) -> Response {
    let census = control.census().await;
    if let Err(error) = &census {
        tracing::error!(error = chain(error), "VMs and hosts cannot be counted");
    }
    match metrics.text(census.as_ref().ok()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "the metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
