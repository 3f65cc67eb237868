//! What requests get: an id, a log line, an answer even when their handler panics, and most of them a time limit.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use model::{Problem, ProblemCode};
use tracing::Instrument;

use crate::refusal::{Refusal, documented};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No endpoint waits for a VM; a request that takes longer hangs, and its client has mostly gone.
const TIME_LIMIT: Duration = Duration::from_secs(25);

pub(crate) async fn envelope(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("-", MatchedPath::as_str);
    let span =
        tracing::info_span!("request", request.id = %id, http.method = %request.method(), http.route = route);
    answer(request, next, &id).instrument(span).await
}

async fn answer(request: Request, next: Next, id: &str) -> Response {
    let started = Instant::now();
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match handled.await {
        Ok(response) => response,
        Err(panic) => panicked(panic.as_ref()),
    };
    let mut response = documented(response, id);
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    log(response.status(), started.elapsed());
    response
}

/// Ends a request that takes too long; around every handler but those that take a body of any length.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow(),
    }
}

/// The client's id where it is one that a log can hold, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(is_plain) {
        Some(id) => id.to_owned(),
        // Told apart, not kept secret: the standard library's hash keys are random enough for that.
        None => format!("{:016x}", RandomState::new().hash_one(0_u8)),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("nothing");
    tracing::error!(panic = said, "a handler panicked");
    Refusal::from(
        Problem::new(ProblemCode::Internal, "Pitwall failed in a way it should not")
            .hint("its log has the cause under this request's id; please report it"),
    )
    .into_response()
}

fn too_slow() -> Response {
    Refusal::from(
        Problem::new(
            ProblemCode::Timeout,
            format!("no answer within {} s", TIME_LIMIT.as_secs()),
        )
        .hint("what was asked may have been done all the same; look before you try again"),
    )
    .into_response()
}

fn log(status: StatusCode, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(http.status = status.as_u16(), duration_ms, "request failed");
    } else {
        tracing::info!(http.status = status.as_u16(), duration_ms, "request answered");
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_request_and_nothing_else() {
        async fn broken() {
            panic!("canary")
        }
        let router = Router::new().route("/", get(broken)).layer(from_fn(envelope));
        for _ in 0..2 {
            let request = Request::builder().uri("/").body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = to_bytes(response.into_body(), 4096).await.unwrap();
            let problem: api::ProblemDocument = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem.code, "internal");
            assert!(!problem.detail.contains("canary"));
        }
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_a_log_can_hold_it() {
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
            request_id(&headers)
        };
        assert_eq!(given("a-1_b.C"), "a-1_b.C");
        let long = "x".repeat(65);
        for bad in ["", "two words", "semi;colon", long.as_str()] {
            assert_ne!(given(bad), bad);
            assert_eq!(given(bad).len(), 16);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
