//! Events: `/v1/events` and `/v1/vms/{vm}/events`, as server-sent events.
//!
//! A change has an id, stands in commit order, and is sent again to a client that comes back with `Last-Event-ID`.
//! Progress has no id, is never stored and may be missed.

use http::Method;
use model::{ProblemCode, Scope, VmId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Access, Answer, Content, Endpoint, Query, QueryKind, Reason, Shape, Stage, VmStatus};

/// Something that happened to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// What kind of thing: `created`, `adopted`, `changed` (something else is asked of it), `status` (it, or its
    /// reason, is another), `ending` (it will be stopped before long),
    /// `deleted`, `progress` (of a stage). This list is closed; docs/events.md tells what each carries.
    #[serde(rename = "type")]
    #[schema(example = "status")]
    pub kind: String,
    /// When, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub at: String,
    /// The VM.
    #[schema(value_type = String, example = "vm_00000000000000000000000000")]
    pub vm: VmId,
    /// The generation of what was asked of it then.
    pub generation: u64,
    /// Where it stood, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<VmStatus>,
    /// Why it is not as asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
    /// What is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stage: Option<Stage>,
    /// Why it will be stopped before long: `idle` or `time_to_live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "idle")]
    pub ending: Option<String>,
    /// In how many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seconds: Option<u64>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Those of one VM only: an id, a name, or a name with its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
}

/// Follows all VMs that the caller may see.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/events",
    operation_id: "event_list",
    summary: "Follow what happens to all VMs that one may see, from now on or from after `Last-Event-ID`",
    access: Access::Scope(Scope::VmRead),
    query: &[Query {
        name: "vm",
        description: "Follow one VM only, from its first event; all where left out",
        kind: QueryKind::Text,
        required: false,
    }],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "Events as they happen, as docs/events.md tells; `reset` where the id is unknown or forgotten, and the \
                      client looks at everything anew; a comment every 15 s keeps the connection alive",
        content: Content::Events(Shape::of::<Event>()),
    }],
    problems: &[ProblemCode::NotFound],
};

/// Follows a VM.
pub const VM_EVENTS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/events",
    operation_id: "vm_events",
    summary: "Follow what happens to a VM, from its first event or from after `Last-Event-ID`",
    access: Access::Scope(Scope::VmRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "Events as they happen; a comment every 15 s keeps the connection alive",
        content: Content::Events(Shape::of::<Event>()),
    }],
    problems: &[ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &VM_EVENTS];
