//! The audit: `/v1/audit`.

use std::net::IpAddr;

use http::Method;
use model::{ProblemCode, Scope, TokenId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::{CURSOR, LIMIT};
use crate::{Access, Answer, Content, Endpoint, Query, QueryKind, Shape};

/// Something that somebody did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub at: String,
    /// Who, where that is known.
    #[schema(required, value_type = Option<String>, example = "user_00000000000000000000000000")]
    pub user: Option<UserId>,
    /// That user's name then.
    #[schema(required, example = "ann")]
    pub user_name: Option<String>,
    /// With which token.
    #[schema(required, value_type = Option<String>, example = "tok_00000000000000000000000000")]
    pub token: Option<TokenId>,
    /// From where.
    #[schema(required, value_type = Option<String>, example = "192.0.2.7")]
    pub address: Option<IpAddr>,
    /// The request's id.
    #[schema(required)]
    pub request_id: Option<String>,
    /// What: the `operationId` of this document, or `login`.
    #[schema(example = "vm_start")]
    pub operation: String,
    /// To what: an id, or what was named in its place.
    #[schema(required)]
    pub target: Option<String>,
    /// `ok`, or the code of the refusal.
    #[schema(example = "ok")]
    pub outcome: String,
}

/// Some entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The entries, newest first.
    pub items: Vec<AuditEntry>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Of one user, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of one operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// About one thing, as it stands in the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// With one outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// At this time or later, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How many at most.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub limit: Option<u32>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Lists what was done and refused.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/audit",
    operation_id: "audit_list",
    summary: "List what was done and refused, newest first: all of it for admins, their own for others",
    access: Access::Scope(Scope::AccountRead),
    query: &[
        text("user", "Only what one user did, by its id"),
        text("operation", "Only one operation"),
        text("target", "Only what was done to one thing, as entries name it"),
        text("outcome", "Only one outcome: `ok`, or the code of a refusal"),
        time("since", "Only at this time or later"),
        time("until", "Only before this time"),
        LIMIT,
        CURSOR,
    ],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The entries, newest first",
        content: Content::Json(Shape::of::<AuditList>()),
    }],
    problems: &[ProblemCode::InvalidCursor, ProblemCode::InvalidValue],
};

const fn text(name: &'static str, description: &'static str) -> Query {
    Query {
        name,
        description,
        kind: QueryKind::Text,
        required: false,
    }
}

const fn time(name: &'static str, description: &'static str) -> Query {
    Query {
        name,
        description,
        kind: QueryKind::Time,
        required: false,
    }
}

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST];
