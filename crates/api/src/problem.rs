//! What goes wrong, on the wire: `application/problem+json` (RFC 9457), and the one table from a problem's code to
//! its HTTP status and exit code.

use model::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ExitCode;

/// The media type of a [`ProblemDocument`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, why, and the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A page about the code: `/v1/problems/CODE`.
    #[serde(rename = "type")]
    #[schema(example = "/v1/problems/not_found")]
    pub kind: String,
    /// What the code means, the same for each occurrence.
    #[schema(example = "There is no such thing")]
    pub title: String,
    /// The HTTP status of the answer.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    pub status: u16,
    /// What happened this time, and why.
    #[schema(example = "there is no VM named \"web\"")]
    pub detail: String,
    /// What programs look at.
    #[schema(example = "not_found")]
    pub code: String,
    /// The next step, where there is one.
    #[serde(default)]
    #[schema(required, example = "pwctl ls shows what is there")]
    pub hint: Option<String>,
    /// Which value of the request is meant, as a JSON pointer (RFC 6901).
    #[serde(default)]
    #[schema(required, example = json!(null))]
    pub pointer: Option<String>,
    /// Of `quota_exceeded`: how much may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 10)]
    pub limit: Option<u64>,
    /// Of `quota_exceeded`: how much is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 10)]
    pub used: Option<u64>,
    /// Of `quota_exceeded`: how much more was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub requested: Option<u64>,
    /// Of `quota_exceeded`: whose quota it is, `user` or `team`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "user")]
    pub scope: Option<String>,
    /// Of `quota_exceeded`: what is counted, one of `vms`, `cpus`, `memory_bytes`, `disk_bytes`, `running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "vms")]
    pub resource: Option<String>,
    /// The request's id, as it stands in the server's log.
    #[schema(example = "9f0c2b5e71d84a36")]
    pub request_id: String,
}

impl ProblemDocument {
    /// The document of a refusal.
    pub fn new(problem: &Problem, request_id: impl Into<String>) -> Self {
        let row = code_row(problem.code);
        let quota = problem.quota.as_deref();
        Self {
            kind: format!("/v1/problems/{}", problem.code),
            title: row.title.to_owned(),
            status: row.status,
            detail: problem.detail.clone(),
            code: problem.code.as_str().to_owned(),
            hint: problem.hint.clone(),
            pointer: problem.pointer.clone(),
            limit: quota.map(|quota| quota.limit),
            used: quota.map(|quota| quota.used),
            requested: quota.map(|quota| quota.requested),
            scope: quota.map(|quota| quota.scope.as_str().to_owned()),
            resource: quota.map(|quota| quota.resource.as_str().to_owned()),
            request_id: request_id.into(),
        }
    }

    /// The code, where this version knows it.
    pub fn known_code(&self) -> Option<ProblemCode> {
        ProblemCode::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == self.code)
    }

    /// How a command ends on it. A code from a newer server is told by its HTTP status.
    pub fn exit_code(&self) -> ExitCode {
        match (self.known_code(), self.status) {
            (Some(code), _) => code_row(code).exit,
            (None, 401 | 403) => ExitCode::SignIn,
            (None, 404 | 410) => ExitCode::NotFound,
            (None, 409 | 412) => ExitCode::Conflict,
            (None, 422) => ExitCode::Usage,
            (None, 408 | 504) => ExitCode::Timeout,
            (None, 429 | 502 | 503) => ExitCode::Unavailable,
            (None, _) => ExitCode::Error,
        }
    }
}

/// One row of the table of problem codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRow {
    /// The HTTP status.
    pub status: u16,
    /// How `pwctl` ends.
    pub exit: ExitCode,
    /// What the code means.
    pub title: &'static str,
}

/// The table: what a problem code is in HTTP, for a script, and in words.
///
/// Form and value are told apart: 400 is a request that cannot be read, 422 one that is read and makes no sense. A
/// lack of room is 409 and never 5xx, since nothing is broken.
pub const fn code_row(code: ProblemCode) -> CodeRow {
    let (status, exit, title) = match code {
        ProblemCode::InvalidRequest => (
            400,
            ExitCode::Error,
            "The request is not of the form the API takes",
        ),
        ProblemCode::InvalidValue => (422, ExitCode::Usage, "A value in the request is not acceptable"),
        ProblemCode::Unauthenticated => (401, ExitCode::SignIn, "Sign-in is needed"),
        ProblemCode::TokenExpired => (401, ExitCode::SignIn, "The token has expired"),
        ProblemCode::UserDisabled => (403, ExitCode::SignIn, "The user is disabled"),
        ProblemCode::InsufficientScope => (403, ExitCode::SignIn, "The token was not made for this"),
        ProblemCode::AdminOnly => (403, ExitCode::SignIn, "Only admins may do this"),
        ProblemCode::Forbidden => (403, ExitCode::SignIn, "The right for this is missing"),
        ProblemCode::InvalidCursor => (400, ExitCode::Usage, "The cursor is none of this list"),
        ProblemCode::Changed => (412, ExitCode::Conflict, "Somebody else has changed it"),
        ProblemCode::IdempotencyMismatch => (422, ExitCode::Conflict, "The key was used for another request"),
        ProblemCode::WaitImpossible => (409, ExitCode::Error, "It cannot be waited for"),
        ProblemCode::AmbiguousName => (409, ExitCode::Conflict, "Several have that name"),
        ProblemCode::NotFound => (404, ExitCode::NotFound, "There is no such thing"),
        ProblemCode::MethodNotAllowed => (405, ExitCode::Error, "The path does not take this method"),
        ProblemCode::UnsupportedMediaType => (415, ExitCode::Error, "The body's media type is not taken"),
        ProblemCode::BodyTooLarge => (413, ExitCode::Error, "The body is too large"),
        ProblemCode::NameTaken => (409, ExitCode::Conflict, "The name is taken"),
        ProblemCode::NoSshKey => (422, ExitCode::Usage, "No key would open the VM"),
        ProblemCode::LastAdmin => (409, ExitCode::Conflict, "There would be no admin left"),
        ProblemCode::OwnsVms => (409, ExitCode::Conflict, "It owns VMs still"),
        ProblemCode::WrongStatus => (409, ExitCode::Conflict, "It does not fit the VM's status"),
        ProblemCode::QuotaExceeded => (409, ExitCode::Capacity, "The quota leaves no room for it"),
        ProblemCode::NoCapacity => (409, ExitCode::Capacity, "No host has room for it"),
        ProblemCode::NoHost => (409, ExitCode::Capacity, "No host is there to take it"),
        ProblemCode::NotPermitted => (403, ExitCode::Error, "It may not be used so"),
        ProblemCode::Unsupported => (409, ExitCode::Conflict, "The VM, as it is, cannot do that"),
        ProblemCode::UpgradeRequired => (426, ExitCode::Error, "The path is a WebSocket"),
        ProblemCode::RateLimited => (429, ExitCode::Unavailable, "Too many requests"),
        ProblemCode::Busy => (429, ExitCode::Unavailable, "Too much of it is under way already"),
        ProblemCode::GuestFailed => (502, ExitCode::Error, "Something went wrong inside the VM"),
        ProblemCode::Unavailable => (503, ExitCode::Unavailable, "Something it needs is away"),
        ProblemCode::Timeout => (504, ExitCode::Timeout, "It took too long"),
        ProblemCode::Internal => (500, ExitCode::Error, "A fault inside Pitwall"),
    };
    CodeRow { status, exit, title }
}
