//! What can be done to a VM beside changing it: `/v1/vms/{vm}/restart`, `rebuild`, `resize`, `extend` and
//! `lease`.

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Access, Answer, Content, Endpoint, RegistryAuth, Shape, Vm};

/// What a VM is made anew from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildVm {
    /// Another image; its own, as that is now, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, example = "docker.io/library/debian:12")]
    pub image: Option<String>,
    /// What the image is pulled with from now on. Without it, the credentials that the VM has stay for the very same
    /// reference, and for another one of its repository where you presented them; else they are forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<RegistryAuth>,
}

/// The size that a VM shall have. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeVm {
    /// Virtual processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub cpus: Option<u32>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67_108_864, example = 1_073_741_824)]
    pub memory_bytes: Option<u64>,
    /// Size of the writable disk in bytes. It only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67_108_864, example = 4_294_967_296_u64)]
    pub disk_bytes: Option<u64>,
    /// Whether to boot it again, so that it has its size at once. Without it, processors and memory can only be changed
    /// while it is `STOPPED`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
}

/// More time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendVm {
    /// So much more, in seconds: from its end on, or from now where that has passed.
    #[schema(minimum = 1, maximum = 316_224_000, example = 28_800)]
    pub seconds: u64,
}

const ANSWERS: &[Answer] = &[Answer {
    status: 200,
    description: "It is asked for, or was so already",
    content: Content::Json(Shape::of::<Vm>()),
}];

/// Boots a VM again.
pub const RESTART: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/restart",
    operation_id: "vm_restart",
    summary: "Boot a VM again, once",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: ANSWERS,
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::WrongStatus,
    ],
};

/// Makes a VM's disk anew.
pub const REBUILD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/rebuild",
    operation_id: "vm_rebuild",
    summary: "Make a VM's writable disk anew, keeping name, address, keys and host key; what was on it is gone",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<RebuildVm>())),
    answers: ANSWERS,
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::WrongStatus,
    ],
};

/// Gives a VM another size.
pub const RESIZE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/resize",
    operation_id: "vm_resize",
    summary: "Give a VM another size, from its next boot on",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<ResizeVm>())),
    answers: ANSWERS,
    problems: &[
        ProblemCode::QuotaExceeded,
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::WrongStatus,
        ProblemCode::NoCapacity,
        ProblemCode::NoHost,
    ],
};

/// Lets a VM live longer.
pub const EXTEND: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/extend",
    operation_id: "vm_extend",
    summary: "Give a VM more time to live; it takes back that it goes, and starts nothing",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<ExtendVm>())),
    answers: ANSWERS,
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::WrongStatus,
    ],
};

/// Keeps a leased VM.
pub const LEASE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/lease",
    operation_id: "vm_lease",
    summary: "Say that the client of a leased VM is still there; nothing else changes",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: ANSWERS,
    problems: &[ProblemCode::NotFound, ProblemCode::Forbidden],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&RESTART, &REBUILD, &RESIZE, &EXTEND, &LEASE];
