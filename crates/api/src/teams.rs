//! Teams and who is in them: `/v1/teams`.

use http::Method;
use model::{ProblemCode, Scope, TeamId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::endpoint::{Query, QueryKind};
use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Team {
    /// Its id.
    #[schema(value_type = String, example = "team_00000000000000000000000000")]
    pub id: TeamId,
    /// Its name. Users and teams share one name space.
    #[schema(example = "ops")]
    pub name: String,
    /// What the caller is in it: `member` or `owner`; null for an admin who is not in it.
    #[schema(required, example = "owner")]
    pub role: Option<String>,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub created_at: String,
}

/// Some teams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamList {
    /// The teams, in the order of their names.
    pub items: Vec<Team>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// What is asked of a new team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    /// Its name: a DNS label of at most 63 of `a-z 0-9 -`.
    #[schema(
        example = "ops",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
    )]
    pub name: String,
}

/// A user in a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The user.
    #[schema(value_type = String, example = "user_00000000000000000000000000")]
    pub user_id: UserId,
    /// The user's name.
    #[schema(example = "ann")]
    pub user: String,
    /// What the user is there: `member` or `owner`.
    #[schema(example = "member")]
    pub role: String,
    /// Since when, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub added_at: String,
}

/// Some users in a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberList {
    /// Who is in it, in the order of their names.
    pub items: Vec<Member>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// What a user shall be in a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMember {
    /// `member` manages the team's VMs; `owner` may also delete, share and transfer them, and says who is in the team.
    #[schema(value_type = TeamRoleName, example = "member")]
    pub role: String,
}

/// What a user may be asked to be in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TeamRoleName {
    /// Manages the team's VMs.
    Member,
    /// May also delete, share and transfer them, and says who is in the team.
    Owner,
}

/// What becomes of the VMs of a user or team that goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeirQuery {
    /// Who gets them: the id or name of a user or team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_to: Option<String>,
}

/// The parameter for who gets the VMs of a user or team that goes.
pub(crate) const TRANSFER_TO: Query = Query {
    name: "transfer_to",
    description: "Who gets its VMs: the id or name of a user or team; where left out it may own none",
    kind: QueryKind::Text,
    required: false,
};

const TEAM: Content = Content::Json(Shape::of::<Team>());

/// Lists teams.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/teams",
    operation_id: "team_list",
    summary: "List one's teams; for admins all",
    access: Access::Scope(Scope::AccountRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The teams",
        content: Content::Json(Shape::of::<TeamList>()),
    }],
    problems: LIST_PROBLEMS,
};

const LIST_PROBLEMS: &[ProblemCode] = &[
    ProblemCode::InvalidRequest,
    ProblemCode::InvalidCursor,
    ProblemCode::InvalidValue,
];

/// Creates a team.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/teams",
    operation_id: "team_create",
    summary: "Create a team, with nobody in it",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateTeam>())),
    answers: &[Answer {
        status: 201,
        description: "It is there",
        content: TEAM,
    }],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NameTaken],
};

/// Shows a team.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/teams/{team}",
    operation_id: "team_get",
    summary: "Show a team that one is in",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The team",
        content: TEAM,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Removes a team.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/teams/{team}",
    operation_id: "team_delete",
    summary: "Remove a team, and say who gets its VMs",
    access: Access::Scope(Scope::AccountWrite),
    query: &[TRANSFER_TO],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It is gone",
        content: Content::Nothing,
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::Forbidden,
        ProblemCode::OwnsVms,
        ProblemCode::NameTaken,
        ProblemCode::QuotaExceeded,
    ],
};

/// Lists who is in a team.
pub const MEMBERS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/teams/{team}/members",
    operation_id: "member_list",
    summary: "List who is in a team",
    access: Access::Scope(Scope::AccountRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "Who is in it",
        content: Content::Json(Shape::of::<MemberList>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
    ],
};

/// Puts a user into a team.
pub const MEMBER_PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/v1/teams/{team}/members/{user}",
    operation_id: "member_put",
    summary: "Put a user into a team, or give it another role there",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<PutMember>())),
    answers: &[Answer {
        status: 200,
        description: "It is in the team as this",
        content: Content::Json(Shape::of::<Member>()),
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::Forbidden],
};

/// Takes a user out of a team.
pub const MEMBER_DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/teams/{team}/members/{user}",
    operation_id: "member_delete",
    summary: "Take a user out of a team; what it has open on the team's VMs ends",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It is not in the team any more",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::NotFound, ProblemCode::Forbidden],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[
    &LIST,
    &CREATE,
    &GET,
    &DELETE,
    &MEMBERS,
    &MEMBER_PUT,
    &MEMBER_DELETE,
];
