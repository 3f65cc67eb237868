//! Waiting for a VM: `/v1/vms/{vm}/wait`.

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::endpoint::{Query, QueryKind};
use crate::{Access, Answer, Content, Endpoint, Shape, Vm};

/// How many seconds somebody may wait at most.
pub const MAX_TIMEOUT_SECONDS: u64 = 300;

/// What is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// A status, or `DELETED`: that the VM is gone.
    #[serde(rename = "for")]
    pub wanted: String,
    /// The generation that it must have been seen at, or a later one; the one that is asked for now where left out.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation: Option<u64>,
    /// How many seconds to wait at most; 60 where left out.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<u64>,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waited {
    /// Whether it came about in time.
    pub reached: bool,
    /// The VM at the end; null once it is gone.
    #[schema(required)]
    pub vm: Option<Vm>,
}

/// What can be waited for.
const WANTED: &[&str] = &[
    "INIT",
    "BUILDING_FILESYSTEM",
    "BOOTING",
    "RUNNING",
    "STOPPING",
    "STOPPED",
    "ERROR",
    "DELETING",
    "UNKNOWN",
    "DELETED",
];

/// Waits for a VM.
pub const WAIT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/wait",
    operation_id: "vm_wait",
    summary: "Wait until a VM has a status",
    access: Access::Scope(Scope::VmRead),
    query: &[
        Query {
            name: "for",
            description: "A status, or `DELETED`: that it is gone, also when that was before the call and the VM is given by \
                          its id",
            kind: QueryKind::OneOf(WANTED),
            required: true,
        },
        Query {
            name: "generation",
            description: "Only a status counts that was seen at this generation or a later one; where left out, at the one \
                          that is asked for now",
            kind: QueryKind::Whole,
            required: false,
        },
        Query {
            name: "timeout",
            description: "Seconds to wait at most; 60 where left out",
            kind: QueryKind::Between(0, MAX_TIMEOUT_SECONDS),
            required: false,
        },
    ],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "It came about, or time is up",
        content: Content::Json(Shape::of::<Waited>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::AmbiguousName,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidValue,
        ProblemCode::WaitImpossible,
    ],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&WAIT];

#[cfg(test)]
mod tests {
    use model::Status;

    use super::WANTED;

    #[test]
    fn every_status_can_be_waited_for() {
        let mut expected: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
        expected.push("DELETED");
        assert_eq!(WANTED, expected);
    }
}
