//! Whose a VM is, and with whom it is shared: `/v1/vms/{vm}/shares`, `/v1/vms/{vm}/transfer`.

use http::Method;
use model::{PrincipalId, ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape, Vm};

/// What somebody may do with a VM that is another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The user or team.
    #[schema(value_type = String, example = "user_00000000000000000000000000")]
    pub principal_id: PrincipalId,
    /// Its name.
    #[schema(example = "ann")]
    pub principal: String,
    /// `use` or `manage`.
    #[schema(example = "use")]
    pub right: String,
    /// Since when, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub added_at: String,
}

/// With whom a VM is shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareList {
    /// The shares, in the order of the names.
    pub items: Vec<Share>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// What somebody shall be able to do with a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutShare {
    /// `use`: see it, sign in, exec, console, logs, files, events. `manage`: also start, stop, restart, resize, rebuild,
    /// change and extend it.
    #[schema(value_type = RightName, example = "use")]
    pub right: String,
}

/// What a share may be asked to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RightName {
    /// See it and get into it.
    Use,
    /// Also change it.
    Manage,
}

/// Who shall own a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The id or the exact name of a user or team.
    #[schema(example = "ops", min_length = 1)]
    pub to: String,
}

/// Lists with whom a VM is shared.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/shares",
    operation_id: "vm_share_list",
    summary: "List with whom a VM is shared",
    access: Access::Scope(Scope::VmRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The shares",
        content: Content::Json(Shape::of::<ShareList>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
    ],
};

/// Shares a VM.
pub const PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/v1/vms/{vm}/shares/{principal}",
    operation_id: "vm_share_put",
    summary: "Share a VM with a user or team, or change what it may do",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<PutShare>())),
    answers: &[Answer {
        status: 200,
        description: "It is shared so",
        content: Content::Json(Shape::of::<Share>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::WrongStatus,
    ],
};

/// Shares a VM no more.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/vms/{vm}/shares/{principal}",
    operation_id: "vm_share_delete",
    summary: "Share a VM no more; what that one has open on it ends",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It is not shared any more",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::Forbidden],
};

/// Gives a VM to another owner.
pub const TRANSFER: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/transfer",
    operation_id: "vm_transfer",
    summary: "Give a VM to another owner",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<Transfer>())),
    answers: &[Answer {
        status: 200,
        description: "It is the other's, or was so already",
        content: Content::Json(Shape::of::<Vm>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::NameTaken,
        ProblemCode::QuotaExceeded,
        ProblemCode::WrongStatus,
    ],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &PUT, &DELETE, &TRANSFER];
