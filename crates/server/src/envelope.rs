//! What requests get: an id, a log line, an answer even when their handler panics, and most of them a time limit.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt, stream};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use model::{Problem, ProblemCode, RequestId};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::address::ClientAddress;
use crate::edges::Edge;
use crate::metrics::{Metrics, Under};
use crate::refusal::{Refusal, documented};
use crate::trace::trace_parent;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// No endpoint waits for a VM; a request that takes longer hangs, and its client has mostly gone.
const TIME_LIMIT: Duration = Duration::from_secs(25);
/// How long a client may rest in the middle of an archive that it sends: what makes the archive may be slow.
const BODY_REST: Duration = Duration::from_secs(300);

/// Gives a request its id, which is an extension of it from here on, and which its answer and every log line carry.
pub(crate) async fn envelope(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = span(&id, &request);
    let counted = Counted::begin(&edge, &request);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(edge);
    let response = answer(request, next, id.as_str()).instrument(span).await;
    counted.end(response.status());
    response
}

/// What all log lines of a request carry. Parts that it does not have are left out.
fn span(id: &RequestId, request: &Request) -> Span {
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = route(request),
        client.address = Empty,
        trace.id = Empty,
        parent.id = Empty,
    );
    if let Some(ClientAddress(address)) = request.extensions().get() {
        span.record("client.address", tracing::field::display(address));
    }
    if let Some(parent) = trace_parent(request.headers()) {
        span.record("trace.id", parent.trace);
        span.record("parent.id", parent.span);
    }
    span
}

fn route(request: &Request) -> &str {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or("-", MatchedPath::as_str)
}

/// A request as the metrics see it.
struct Counted(Option<Counting>);

struct Counting {
    metrics: Metrics,
    method: Method,
    route: String,
    started: Instant,
    /// Dropped also where the client goes away and nothing is answered.
    _under: Under,
}

impl Counted {
    fn begin(edge: &Edge, request: &Request) -> Self {
        Self(edge.metrics.as_ref().map(|metrics| Counting {
            metrics: metrics.clone(),
            method: request.method().clone(),
            route: route(request).to_owned(),
            started: Instant::now(),
            _under: metrics.request_begins(),
        }))
    }

    fn end(self, status: StatusCode) {
        if let Some(counting) = self.0 {
            let (method, route) = (&counting.method, &counting.route);
            let took = counting.started.elapsed();
            counting.metrics.request_answered(method, route, status, took);
        }
    }
}

/// What is open to everybody is paid for by the address it is asked from.
pub(crate) async fn open(
    Extension(edge): Extension<Edge>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    edge.admit_nobody(request.extensions().get())?;
    Ok(next.run(request).await)
}

/// Ends a body whose client rests for too long in the middle of it.
pub(crate) async fn flowing(request: Request, next: Next) -> Response {
    let request = request.map(|body| {
        let parts = body.into_data_stream();
        Body::from_stream(stream::unfold(parts, |mut parts| async {
            let part = match tokio::time::timeout(BODY_REST, parts.next()).await {
                Ok(part) => part?.map_err(io::Error::other),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client sends nothing",
                )),
            };
            Some((part, parts))
        }))
    });
    next.run(request).await
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
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    // Told apart, not kept secret: the standard library's hash keys are random enough for that.
    let drawn = || RequestId::from_random(RandomState::new().hash_one(0_u8));
    given.and_then(|text| text.parse().ok()).unwrap_or_else(drawn)
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
    use axum::body::to_bytes;
    use axum::middleware::{from_fn, from_fn_with_state};
    use axum::routing::{get, post};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_request_and_nothing_else() {
        async fn broken() {
            panic!("canary")
        }
        let edge = Edge::new(&crate::Edges::default());
        let layer = from_fn_with_state(edge, envelope);
        let router = Router::new().route("/", get(broken)).layer(layer);
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

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_may_not_rest() {
        async fn length(body: Body) -> Result<String, StatusCode> {
            let bytes = to_bytes(body, 4096).await;
            bytes
                .map(|bytes| bytes.len().to_string())
                .map_err(|_| StatusCode::REQUEST_TIMEOUT)
        }
        let router = Router::new().route("/", post(length)).layer(from_fn(flowing));
        for (rest, expected) in [
            (BODY_REST / 2, StatusCode::OK),
            (BODY_REST * 2, StatusCode::REQUEST_TIMEOUT),
        ] {
            let parts = stream::iter(["a", "b", "c"]).then(move |part| async move {
                tokio::time::sleep(rest).await;
                Ok::<_, io::Error>(part)
            });
            let request = Request::builder().method(Method::POST).uri("/");
            let request = request.body(Body::from_stream(parts)).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{rest:?}");
        }
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_a_log_can_hold_it() {
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
            String::from(request_id(&headers))
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
