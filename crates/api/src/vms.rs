//! VMs: `/v1/vms`.

use std::collections::BTreeMap;

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::endpoint::{Query, QueryKind};
use crate::key_line::KeyLine;
use crate::lists::{CURSOR, LIMIT};
use crate::{Access, Answer, Content, CreateService, Endpoint, RegistryAuth, Shape, Vm};

/// What is asked of a new VM. What is left out takes its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVm {
    /// Its name: a DNS label of at most 63 of `a-z 0-9 -`.
    #[schema(
        example = "web",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
    )]
    pub name: String,
    /// Who owns it: the id or name of oneself or of a team that one is in, for admins of anybody; oneself where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ops", min_length = 1)]
    pub owner: Option<String>,
    /// Its image: `NAME[:TAG]`, `REGISTRY/NAME[:TAG]`, `NAME@sha256:…`, or `oci:DIRECTORY[:TAG]` on the host.
    #[schema(
        example = "docker.io/library/debian:12",
        pattern = r"^(oci:/.*|([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?)$"
    )]
    pub image: String,
    /// What its image is pulled with, where not everybody may. It is never shown again, and kept until the VM is gone or
    /// is rebuilt from another repository. The image serves nobody who could not pull it as well.
    #[serde(
        default,
        deserialize_with = "crate::object::or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub registry_auth: Option<RegistryAuth>,
    /// Virtual processors; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub cpus: Option<u32>,
    /// Memory in bytes; 512 MiB where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67_108_864, example = 536_870_912)]
    pub memory_bytes: Option<u64>,
    /// Size of the writable disk in bytes; 2 GiB where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67_108_864, example = 2_147_483_648_u64)]
    pub disk_bytes: Option<u64>,
    /// Who may sign in besides those who may use the VM: OpenSSH public keys, one line each, for this VM alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<KeyLine>, max_items = 64, example = json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me"]))]
    pub keys: Vec<String>,
    /// Whether the keys of its owner's account open it, or of those in the team; true where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_keys: Option<bool>,
    /// Whether it may be made although no key opens it. Otherwise that is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_ssh_keys: bool,
    /// Certificate authorities whose user certificates open it too: OpenSSH public keys, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<KeyLine>, max_items = 16)]
    pub user_cas: Vec<String>,
    /// Whether `authorized_keys` files that came with the image count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub image_keys: bool,
    /// Whether it gets a console where that costs its boot something, as under Firecracker.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub console: bool,
    /// Seconds to live; then it is stopped, and after its grace removed. For ever where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub ttl_seconds: Option<u64>,
    /// Seconds that it is kept after its time to live, from when it is off; 72 hours where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub grace_seconds: Option<u64>,
    /// Seconds without a session and without work until it is stopped. Never where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub idle_after_seconds: Option<u64>,
    /// Seconds that it outlives the last sign of its client (`lease`); then it is removed. Never where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub lease_seconds: Option<u64>,
    /// What it runs besides its logins.
    #[serde(
        default,
        deserialize_with = "crate::object::or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub service: Option<CreateService>,
    /// Labels, to find it by: at most 64, each name 1 to 63 of `a-z 0-9 . _ / -`, each value at most 255 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({ "tier": "web" }))]
    pub labels: BTreeMap<String, String>,
}

/// What is asked of a VM from now on: a JSON merge patch (RFC 7396). What is left out stays as it is; what may be null
/// says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeVm {
    /// The keys of this VM alone, in the place of those before: OpenSSH public keys, one line each. They hold from the
    /// next login on; open sessions stay. Those of people who may use it open it as before.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Vec<KeyLine>, nullable = false, max_items = 64, example = json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me"]))]
    pub keys: Option<Vec<String>>,
    /// Labels to set, and by null those to remove. Those that are left out stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Option<String>>, example = json!({ "tier": "web", "old": null }))]
    pub labels: BTreeMap<String, Option<String>>,
    /// Certificate authorities whose user certificates open it, in the place of those before. They hold from the next
    /// login on.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Vec<KeyLine>, nullable = false, max_items = 16)]
    pub user_cas: Option<Vec<String>>,
    /// Whether `authorized_keys` files that came with the image count, from the next login on.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub image_keys: Option<bool>,
    /// Whether it gets a console where that costs its boot something, from its next boot on.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub console: Option<bool>,
    /// What it runs besides its logins, from its next boot on.
    #[serde(
        default,
        deserialize_with = "crate::object::only",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub service: Option<ChangeService>,
}

/// What a VM runs besides its logins, from its next boot on. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeService {
    /// Whether it runs anything.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
    /// Its command and arguments; null is the image's own again.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Vec<String>>, example = json!(["sleep", "60"]))]
    pub command: Option<Option<Vec<String>>>,
    /// When it is started again: `no`, `on-failure` or `always`.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false, example = "always")]
    pub restart: Option<String>,
}

/// Which VMs are listed: those that all of it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmQuery {
    /// How many at most; 50 where left out.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// One of [`VM_SORTS`]; the first where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Labels that they have, `NAME=VALUE` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
    /// Their status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Who owns them: id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The image that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The host they are placed on: id or name. For admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How their names begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The orders of a list of VMs.
pub const VM_SORTS: &[&str] = &["created_at", "-created_at", "name", "-name"];

/// In a merge patch null takes a value away, which is another wish than leaving it as it is; in a query `limit=` is no
/// number.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Some VMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmList {
    /// The VMs, in the order asked for.
    pub items: Vec<Vm>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

const VM: Content = Content::Json(Shape::of::<Vm>());

/// Creates a VM.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms",
    operation_id: "vm_create",
    summary: "Create a VM",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateVm>())),
    answers: &[Answer {
        status: 201,
        description: "It is asked for; its status tells the rest",
        content: VM,
    }],
    problems: &[
        ProblemCode::NameTaken,
        ProblemCode::QuotaExceeded,
        ProblemCode::NoCapacity,
        ProblemCode::NoHost,
    ],
};

/// How many labels a list of VMs may be filtered by: a VM has no more.
pub const MAX_LABEL_FILTERS: usize = 64;

/// Lists VMs.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms",
    operation_id: "vm_list",
    summary: "List VMs",
    access: Access::Scope(Scope::VmRead),
    query: &[
        LIMIT,
        CURSOR,
        Query {
            name: "sort",
            description: "The order, `-` for the last first; by when they were created where left out",
            kind: QueryKind::OneOf(VM_SORTS),
            required: false,
        },
        Query {
            name: "label",
            description: "Those with this label, `NAME=VALUE`; of several all must fit",
            kind: QueryKind::Texts(MAX_LABEL_FILTERS),
            required: false,
        },
        Query {
            name: "status",
            description: "Those with this status. It is computed, so a page may be short",
            kind: QueryKind::Text,
            required: false,
        },
        Query {
            name: "owner",
            description: "Those of this user or team: its id or its name",
            kind: QueryKind::Text,
            required: false,
        },
        Query {
            name: "image",
            description: "Those of this image, as it was asked for",
            kind: QueryKind::Text,
            required: false,
        },
        Query {
            name: "host",
            description: "Those on this host: its id or its name; for admins",
            kind: QueryKind::Text,
            required: false,
        },
        Query {
            name: "name",
            description: "Those whose names begin so",
            kind: QueryKind::Text,
            required: false,
        },
    ],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "A page of the VMs that the caller may use",
        content: Content::Json(Shape::of::<VmList>()),
    }],
    problems: &[
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
        ProblemCode::AdminOnly,
    ],
};

/// Shows a VM.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}",
    operation_id: "vm_get",
    summary: "Show a VM",
    access: Access::Scope(Scope::VmRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The VM",
        content: VM,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Changes what is asked of a VM.
pub const CHANGE: Endpoint = Endpoint {
    method: Method::PATCH,
    path: "/v1/vms/{vm}",
    operation_id: "vm_change",
    summary: "Change what is asked of a VM, whether it runs or not",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: Some(Content::MergePatch(Shape::of::<ChangeVm>())),
    answers: &[Answer {
        status: 200,
        description: "It is asked for, or was so already",
        content: VM,
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::WrongStatus],
};

/// Deletes a VM.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/vms/{vm}",
    operation_id: "vm_delete",
    summary: "Delete a VM, whatever its status",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 202,
        description: "It is being removed; asked again, the same until it is gone and the answer is 404",
        content: VM,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Starts a VM.
pub const START: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/start",
    operation_id: "vm_start",
    summary: "Start a VM that is off or has failed",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "It is asked for, or was running already",
        content: VM,
    }],
    problems: &[
        ProblemCode::QuotaExceeded,
        ProblemCode::NotFound,
        ProblemCode::WrongStatus,
    ],
};

/// Stops a VM.
pub const STOP: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/vms/{vm}/stop",
    operation_id: "vm_stop",
    summary: "Stop a VM, keeping its disk, address and host key",
    access: Access::Scope(Scope::VmWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "It is asked for, or was off already",
        content: VM,
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::WrongStatus],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&CREATE, &LIST, &GET, &CHANGE, &DELETE, &START, &STOP];
