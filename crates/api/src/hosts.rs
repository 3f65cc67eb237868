//! Hosts, and the VMs found on them that control does not know: `/v1/hosts`.

use std::net::IpAddr;

use http::Method;
use model::{HostId, ProblemCode, Scope, VmId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape, Vm, VmStatus};

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Its id.
    #[schema(value_type = String, example = "host_00000000000000000000000000")]
    pub id: HostId,
    /// Its name.
    #[schema(example = "box1")]
    pub name: String,
    /// `UP`, or `SILENT` when it has not been heard of for a while; more may come.
    #[schema(example = "UP")]
    pub status: String,
    /// What is wrong with it, where something is.
    #[schema(required)]
    pub problem: Option<String>,
    /// The version of its orchestrator.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// What it offers.
    pub capacity: Resources,
    /// What is given away of it.
    pub booked: Resources,
    /// What it can do.
    pub features: Vec<String>,
    /// How many VMs are placed on it.
    pub vms: u64,
    /// How many VMs were found on it that nobody here asked for.
    pub found: u64,
    /// When it was last heard of, RFC 3339 in UTC.
    #[schema(required, format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub last_seen_at: Option<String>,
}

/// What VMs take of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk in bytes.
    pub disk_bytes: u64,
}

/// Some hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// The hosts, in the order of their names.
    pub items: Vec<Host>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// A VM that a host holds and that its plan does not name. It keeps running until somebody decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundVm {
    /// Its id.
    #[schema(value_type = String, example = "vm_00000000000000000000000000")]
    pub id: VmId,
    /// The name it was made under, where the host still knows.
    #[schema(required)]
    pub name: Option<String>,
    /// The name of its host.
    #[schema(example = "box1")]
    pub host: String,
    /// Where it stands.
    pub status: VmStatus,
    /// The image it was made from.
    #[schema(required)]
    pub image: Option<String>,
    /// Its address.
    #[schema(required, value_type = Option<String>, example = "172.30.0.4")]
    pub address: Option<IpAddr>,
    /// Whether it can be adopted: the host still knows what was asked of it.
    pub adoptable: bool,
}

/// Some found VMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundList {
    /// The VMs, in the order of their ids.
    pub items: Vec<FoundVm>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// How a found VM is taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// The name it gets; the one it was made under where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        example = "web",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
    )]
    pub name: Option<String>,
}

/// Lists hosts.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/hosts",
    operation_id: "host_list",
    summary: "List hosts",
    access: Access::Scope(Scope::Admin),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The hosts",
        content: Content::Json(Shape::of::<HostList>()),
    }],
    problems: &[ProblemCode::InvalidCursor, ProblemCode::InvalidValue],
};

/// Lists the VMs found on a host.
pub const FOUND: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/hosts/{host}/found",
    operation_id: "host_found_list",
    summary: "List the VMs a host holds that nobody here asked for",
    access: Access::Scope(Scope::Admin),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The found VMs",
        content: Content::Json(Shape::of::<FoundList>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
    ],
};

/// Adopts a found VM.
pub const ADOPT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/hosts/{host}/found/{vm}/adopt",
    operation_id: "host_found_adopt",
    summary: "Take a found VM over, as it runs",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: Some(Content::Json(Shape::of::<Adopt>())),
    answers: &[Answer {
        status: 200,
        description: "It is a VM like any other now",
        content: Content::Json(Shape::of::<Vm>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::NameTaken,
        ProblemCode::WrongStatus,
    ],
};

/// Removes a found VM.
pub const FOUND_DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/hosts/{host}/found/{vm}",
    operation_id: "host_found_delete",
    summary: "Remove a found VM from its host, disk and all",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 202,
        description: "It is being removed",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &FOUND, &ADOPT, &FOUND_DELETE];
