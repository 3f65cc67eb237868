//! Requests with an `Idempotency-Key`: done once, and answered the same however often they come.
//!
//! ```text
//!   POST with a key ─► answered before? ── yes ─► that answer, Idempotent-Replayed: true
//!                          │ no
//!                          ▼
//!                      handler ─► refused: goes out, and nothing is kept
//!                          │
//!                          └────► good: kept in one commit with what was done, then goes out
//! ```
//!
//! What was done becomes lasting here, by `Control::answer_keep`: a handler's answer that never gets here never was.
//! A secret is never kept: the same answer comes again without it.

use std::time::Duration;

use api::{Access, Endpoint, endpoints};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::{Caller, Once, OnceRequest, Operation};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use model::{Digest, Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::{Known, signed};
use crate::body::in_integers;
use crate::refusal::Refusal;
use crate::router::{App, BODY_LIMIT};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The headers that belong to an answer; the others are made anew for each request.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];
/// More than any answer of a POST has.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(25);

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

pub(crate) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    match operation(&request).filter(|_| request.headers().contains_key(KEY)) {
        Some(operation) => do_once(&app, operation, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        None => next.run(request).await,
    }
}

/// The operation that a request asks for, where it takes a key: a POST by somebody who is signed in.
fn operation(request: &Request) -> Option<Operation> {
    let path = request.extensions().get::<MatchedPath>()?.as_str();
    let is_it = |endpoint: &&Endpoint| endpoint.method == Method::POST && endpoint.path == path;
    let endpoint = endpoints()
        .find(is_it)
        .filter(|_| request.method() == Method::POST)?;
    match endpoint.access {
        Access::Token | Access::Scope(_) => Operation::ALL
            .iter()
            .copied()
            .find(|operation| operation.as_str() == endpoint.operation_id),
        Access::Open => None,
    }
}

async fn do_once(app: &App, operation: Operation, request: Request, next: Next) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    let mut caller = signed(&mut parts, app).await?;
    let body = whole(body).await?;
    let key = parts.headers.get(KEY).and_then(|key| key.to_str().ok());
    let once = Once::new(OnceRequest {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        key: key.unwrap_or_default().to_owned(),
        body: digest(parts.uri.query(), &body),
    })?;
    caller.origin.once = Some(once.clone());
    if let Some(kept) = app.control.answer_find(&caller, operation).await? {
        return Ok(again(&kept));
    }
    parts.extensions.insert(Known(caller.clone()));
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if let Some(kept) = once.answered() {
        return Ok(again(&kept));
    }
    if !response.status().is_success() {
        once.drop_held();
        return Ok(response);
    }
    keep(app, (&caller, operation), response).await
}

async fn whole(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(
            ProblemCode::BodyTooLarge,
            "the body is larger than 256 KiB, or ended before its end",
        )),
        Err(_) => Err(Problem::new(
            ProblemCode::Timeout,
            "the body did not come in time",
        )),
    }
}

/// Keeps an answer, and with it what was done.
async fn keep(
    app: &App,
    (caller, operation): (&Caller, Operation),
    response: Response,
) -> Result<Response, Refusal> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_LIMIT).await.map_err(|_| unkeepable())?;
    let headers = KEPT_HEADERS.into_iter().filter_map(|name| {
        let value = parts.headers.get(&name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    let kept = Kept {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: without_secret(&body)?,
    };
    let kept = serde_json::to_string(&kept).map_err(|_| unkeepable())?;
    app.control.answer_keep(caller, operation, kept).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn unkeepable() -> Problem {
    Problem::new(
        ProblemCode::Internal,
        "the answer cannot be kept, so nothing was done",
    )
    .hint("its log has the cause under this request's id; please report it")
}

/// An answer without the secret that it shows, and with what to do instead.
fn without_secret(body: &Bytes) -> Result<String, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| unkeepable())?;
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        return Ok(text.to_owned());
    };
    if fields.get("secret").is_none_or(Value::is_null) {
        return Ok(text.to_owned());
    }
    fields.insert("secret".to_owned(), Value::Null);
    fields.insert(
        "hint".to_owned(),
        "the secret was shown once, in the first answer to this request; if that was lost, revoke it and make another"
            .into(),
    );
    Ok(Value::Object(fields).to_string())
}

/// The answer that was kept.
fn again(kept: &str) -> Response {
    let Ok(kept) = serde_json::from_str::<Kept>(kept) else {
        return Refusal::from(
            Problem::new(
                ProblemCode::Internal,
                "the answer that was given before cannot be read",
            )
            .hint("look whether it was done before you ask with another key"),
        )
        .into_response();
    };
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The digest of a query and a body: of the body's values where it is JSON, so that spaces, the order of fields and the way
/// in which a number is written make no difference.
fn digest(query: Option<&str>, body: &Bytes) -> Digest {
    let mut hash = Sha256::new();
    if let Some(query) = query {
        // No body begins so: neither JSON nor UTF-8 has this byte.
        hash.update([0xff]);
        hash.update(query);
        hash.update([0xff]);
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => feed(&mut hash, &in_integers(value)),
        Err(_) => hash.update(body),
    }
    Digest::from_sha256(hash.finalize().into())
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => hash.update(value.to_string()),
        Value::Array(items) => {
            hash.update("[");
            for item in items {
                feed(hash, item);
                hash.update(",");
            }
            hash.update("]");
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            hash.update("{");
            for (name, value) in fields {
                hash.update(Value::from(name.as_str()).to_string());
                hash.update(":");
                feed(hash, value);
                hash.update(",");
            }
            hash.update("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Digest {
        digest(None, &Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_query_belongs_to_what_is_asked() {
        let of = |query| digest(query, &Bytes::from_static(b"{}"));
        assert_ne!(of(None), of(Some("a=1")));
        assert_ne!(of(Some("a=1")), of(Some("a=2")));
        assert_eq!(of(Some("a=1")), of(Some("a=1")));
    }

    #[test]
    fn bodies_are_compared_as_values() {
        let same = of(r#"{"name":"a","cpus":2,"labels":{"x":"1","y":"2"}}"#);
        for text in [
            r#" { "cpus" : 2 , "name":"a", "labels": {"y":"2","x":"1"} } "#,
            r#"{"name":"\u0061","cpus":2.0,"labels":{"x":"1","y":"2"}}"#,
        ] {
            assert_eq!(of(text), same, "{text}");
        }
        for text in [
            r#"{"name":"a","cpus":3,"labels":{"x":"1","y":"2"}}"#,
            r#"{"name":"a","cpus":"2","labels":{"x":"1","y":"2"}}"#,
            r#"{"name":"a","cpus":2,"labels":{"x":"1"}}"#,
            r#"{"name":"a","cpus":2,"labels":["x","1","y","2"]}"#,
            "",
            "{",
        ] {
            assert_ne!(of(text), same, "{text}");
        }
        assert_ne!(of(r#"["a,","b"]"#), of(r#"["a",",b"]"#));
    }

    #[test]
    fn a_secret_is_not_kept() {
        let body = Bytes::from_static(br#"{"id":"token_1","secret":"canary","hint":null}"#);
        let kept = without_secret(&body).unwrap();
        assert!(!kept.contains("canary"), "{kept}");
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!((&kept["id"], &kept["secret"]), (&"token_1".into(), &Value::Null));
        assert!(kept["hint"].as_str().unwrap().contains("once"));
        let plain = Bytes::from_static(br#"{"b":1,"a":2}"#);
        assert_eq!(without_secret(&plain).unwrap(), r#"{"b":1,"a":2}"#);
    }
}
