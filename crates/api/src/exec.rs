//! Programs in a VM: `/v1/vms/{vm}/exec`.
//!
//! A WebSocket begins with a GET (RFC 6455 section 4.1), which carries no body. So a program is asked for first, and
//! refused like any other request; then its caller attaches, and only then it starts.

use std::collections::BTreeMap;

use http::Method;
use model::{ExecId, ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Access, Answer, Content, Endpoint, Shape};

/// A program to be run in a VM. What is left out takes its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateExec {
    /// The program and its arguments. A program without a slash is looked for in `PATH`.
    #[schema(min_items = 1, max_items = 1024, example = json!(["uname", "-a"]))]
    pub command: Vec<String>,
    /// Over the image's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({ "LANG": "C.UTF-8" }))]
    pub env: BTreeMap<String, String>,
    /// Where it starts, an absolute path; the image's where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/srv")]
    pub working_dir: Option<String>,
    /// Who it runs as: `USER`, `UID`, `USER:GROUP` or `UID:GID`; the image's where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "fred")]
    pub user: Option<String>,
    /// A terminal; pipes where left out.
    #[serde(
        default,
        deserialize_with = "crate::object::or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub terminal: Option<Terminal>,
}

/// The terminal of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Its width at first, in characters.
    #[schema(minimum = 1, maximum = 65535, example = 80)]
    pub columns: u16,
    /// Its height at first, in characters.
    #[schema(minimum = 1, maximum = 65535, example = 24)]
    pub rows: u16,
    /// The variable `TERM`; `xterm-256color` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "xterm-256color")]
    pub term: Option<String>,
}

/// A program that starts when its caller attaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exec {
    /// Its id.
    #[schema(value_type = String, example = "exec_00000000000000000000000000")]
    pub id: ExecId,
    /// The path to attach at, once.
    #[schema(example = "/v1/vms/web/exec/exec_00000000000000000000000000")]
    pub path: String,
    /// When it is forgotten, where nobody has attached by then, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:30Z")]
    pub expires_at: String,
}

/// Asks for a program.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/exec",
    operation_id: "vm_exec_create",
    summary: "Ask for a program in a VM; it starts when its caller attaches",
    access: Access::Scope(Scope::VmUse),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateExec>())),
    answers: &[Answer {
        status: 201,
        description: "Attach to it within 30 s",
        content: Content::Json(Shape::of::<Exec>()),
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::WrongStatus, ProblemCode::Busy],
};

/// Attaches to a program.
pub const ATTACH: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/exec/{exec}",
    operation_id: "vm_exec_attach",
    summary: "Start a program that was asked for, as a WebSocket (docs/streams.md)",
    access: Access::Scope(Scope::VmUse),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 101,
        description: "The program's input, output and end follow as messages",
        content: Content::WebSocket,
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::WrongStatus,
        ProblemCode::UpgradeRequired,
    ],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&CREATE, &ATTACH];
