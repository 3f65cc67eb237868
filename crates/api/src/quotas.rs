//! Quotas: `/v1/quotas`.

use http::Method;
use model::{PrincipalId, ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// How much a user or team may own, and how much it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// The user or team.
    #[schema(value_type = String, example = "user_00000000000000000000000000")]
    pub principal_id: PrincipalId,
    /// Its name.
    #[schema(example = "ann")]
    pub principal: String,
    /// The limits in force. Null is any amount.
    pub limits: QuotaLimits,
    /// Those of them that were set for this one. Null is as the installation has it.
    pub set: QuotaLimits,
    /// How much is used.
    pub used: QuotaUse,
}

/// A limit for each resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaLimits {
    /// VMs, from when they are asked for until they are asked to go.
    #[schema(required, example = 10)]
    pub vms: Option<u64>,
    /// Virtual processors of VMs that are asked to run.
    #[schema(required, example = json!(null))]
    pub cpus: Option<u64>,
    /// Memory of VMs that are asked to run, in bytes.
    #[schema(required, example = json!(null))]
    pub memory_bytes: Option<u64>,
    /// Writable disks, in bytes, for as long as the VMs count.
    #[schema(required, example = json!(null))]
    pub disk_bytes: Option<u64>,
    /// VMs that are asked to run.
    #[schema(required, example = json!(null))]
    pub running: Option<u64>,
}

/// What is used of each resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaUse {
    /// VMs that were not asked to go.
    #[schema(example = 1)]
    pub vms: u64,
    /// Virtual processors of VMs that are asked to run.
    #[schema(example = 1)]
    pub cpus: u64,
    /// Memory of VMs that are asked to run, in bytes.
    #[schema(example = 536_870_912)]
    pub memory_bytes: u64,
    /// Writable disks of VMs that were not asked to go, in bytes.
    #[schema(example = 2_147_483_648_u64)]
    pub disk_bytes: u64,
    /// VMs that are asked to run.
    #[schema(example = 1)]
    pub running: u64,
}

/// Some quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaList {
    /// The quotas, in the order of the names.
    pub items: Vec<Quota>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// The largest limit: 2^53, up to which every JSON parser is exact (RFC 8259 section 6).
pub const MAX_LIMIT: u64 = 1 << 53;

/// The limits of a user or team, in the place of those before. What is left out or null is as the installation has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutQuota {
    /// VMs.
    #[serde(default)]
    #[schema(maximum = 9_007_199_254_740_992_u64, example = 10)]
    pub vms: Option<u64>,
    /// Virtual processors of VMs that are asked to run.
    #[serde(default)]
    #[schema(maximum = 9_007_199_254_740_992_u64, example = 16)]
    pub cpus: Option<u64>,
    /// Memory of VMs that are asked to run, in bytes.
    #[serde(default)]
    #[schema(maximum = 9_007_199_254_740_992_u64)]
    pub memory_bytes: Option<u64>,
    /// Writable disks, in bytes.
    #[serde(default)]
    #[schema(maximum = 9_007_199_254_740_992_u64)]
    pub disk_bytes: Option<u64>,
    /// VMs that are asked to run.
    #[serde(default)]
    #[schema(maximum = 9_007_199_254_740_992_u64)]
    pub running: Option<u64>,
}

const QUOTA: Content = Content::Json(Shape::of::<Quota>());

/// Lists quotas.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/quotas",
    operation_id: "quota_list",
    summary: "List the quotas of all users and teams",
    access: Access::Scope(Scope::Admin),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The quotas",
        content: Content::Json(Shape::of::<QuotaList>()),
    }],
    problems: &[
        ProblemCode::AdminOnly,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
    ],
};

/// Shows a quota.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/quotas/{principal}",
    operation_id: "quota_get",
    summary: "Show limits and use: one's own, or those of a team one is in",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The quota",
        content: QUOTA,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Sets a quota.
pub const PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/v1/quotas/{principal}",
    operation_id: "quota_put",
    summary: "Set the limits of a user or team; what is over them goes on",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: Some(Content::Json(Shape::of::<PutQuota>())),
    answers: &[Answer {
        status: 200,
        description: "They hold from now on",
        content: QUOTA,
    }],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NotFound],
};

/// Lets the installation's limits hold again.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/quotas/{principal}",
    operation_id: "quota_delete",
    summary: "Let the installation's limits hold for a user or team again",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "They do",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &GET, &PUT, &DELETE];
