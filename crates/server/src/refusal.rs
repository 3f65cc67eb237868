//! A refusal on its way out, and the document it becomes.
//!
//! A handler does not know the request's id, so its refusal travels as an extension of an empty response, and the
//! envelope writes the document.

use std::sync::Arc;

use api::{PROBLEM_MEDIA_TYPE, ProblemDocument, code_row};
use axum::Json;
use axum::response::{IntoResponse, Response};
use control::chain;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use model::{Problem, ProblemCode};

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// What the caller is told.
    problem: Problem,
    /// What the operator reads in the log.
    fault: Option<Arc<control::Error>>,
    /// In how many seconds it may go better.
    retry_after: Option<u64>,
}

impl Refusal {
    /// Says in how many seconds it may go better (RFC 9110 section 10.2.3).
    pub(crate) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            fault: None,
            retry_after: None,
        }
    }
}

impl From<control::Error> for Refusal {
    fn from(error: control::Error) -> Self {
        let problem = error.problem.clone();
        let fault = error.is_fault().then(|| Arc::new(error));
        Self {
            problem,
            fault,
            retry_after: None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = status(self.problem.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The answer as it goes out: refusals, and what axum refuses by itself, as problem documents.
pub(crate) fn documented(mut response: Response, request_id: &str) -> Response {
    let refusal = match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal,
        None => match unspoken(response.status()) {
            Some(problem) => problem.into(),
            None => return response,
        },
    };
    if let Some(fault) = &refusal.fault {
        tracing::error!(error = %chain(fault.as_ref()), "a request met a fault");
    }
    let code = refusal.problem.code;
    let mut answer = (
        status(code),
        Json(ProblemDocument::new(&refusal.problem, request_id)),
    )
        .into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    // Each 401 says how to sign in (RFC 9110 section 15.5.2).
    if status(code) == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if code == ProblemCode::UpgradeRequired {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        headers.insert(ALLOW, allow);
    }
    answer
}

/// What axum refused without words of ours.
fn unspoken(status: StatusCode) -> Option<Problem> {
    let code = match status.as_u16() {
        0..400 => return None,
        401 => ProblemCode::Unauthenticated,
        404 => ProblemCode::NotFound,
        405 => ProblemCode::MethodNotAllowed,
        413 => ProblemCode::BodyTooLarge,
        415 => ProblemCode::UnsupportedMediaType,
        426 => ProblemCode::UpgradeRequired,
        429 => ProblemCode::RateLimited,
        400..500 => ProblemCode::InvalidRequest,
        503 => ProblemCode::Unavailable,
        504 => ProblemCode::Timeout,
        500.. => ProblemCode::Internal,
    };
    Some(Problem::new(code, code_row(code).title))
}

/// The code that a response on its way out is refused with.
pub(crate) fn refused_with(response: &Response) -> Option<ProblemCode> {
    let refusal = response.extensions().get::<Refusal>()?;
    Some(refusal.problem.code)
}

fn status(code: ProblemCode) -> StatusCode {
    StatusCode::from_u16(code_row(code).status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
