//! What is open to everybody: health, version, the API's document.

use api::{Health, OPENAPI_JSON, Version};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use control::Control;
use http::header::CONTENT_TYPE;

use crate::refusal::Refusal;

/// The oldest `pwctl` that understands what is served here.
const OLDEST_PWCTL: &str = "0.1.0";

pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
    })
}

pub(crate) async fn ready(State(control): State<Control>) -> Result<Json<Health>, Refusal> {
    control.ready().await?;
    Ok(health().await)
}

pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: "v1".to_owned(),
        oldest_pwctl: OLDEST_PWCTL.to_owned(),
    })
}

pub(crate) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI_JSON)
}
