//! The console that a VM's kernel writes: `/v1/vms/{vm}/console`, as a WebSocket.

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};

use crate::endpoint::{Query, QueryKind};
use crate::{Access, Answer, Content, Endpoint};

/// How a console is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleQuery {
    /// Whether what is typed is dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// Opens a console.
pub const CONSOLE: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/console",
    operation_id: "vm_console",
    summary: "Open a VM's console, as a WebSocket (docs/streams.md)",
    access: Access::Scope(Scope::VmUse),
    query: &[Query {
        name: "read_only",
        description: "Look only: what is typed is dropped; false where left out",
        kind: QueryKind::Flag,
        required: false,
    }],
    request: None,
    answers: &[Answer {
        status: 101,
        description: "What was printed last and what is printed from now on follows as messages",
        content: Content::WebSocket,
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::WrongStatus,
        ProblemCode::InvalidRequest,
        ProblemCode::UpgradeRequired,
    ],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&CONSOLE];
