//! Users, `/v1/users`, and whoever asks, `/v1/me`. `{user}` is an id, a name, or `me`.

use http::Method;
use model::{ProblemCode, Scope, TeamId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::teams::TRANSFER_TO;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id, which it keeps for life.
    #[schema(value_type = String, example = "user_00000000000000000000000000")]
    pub id: UserId,
    /// Its name. Users and teams share one name space.
    #[schema(example = "ann")]
    pub name: String,
    /// What it is here: `member` or `admin`; more may come.
    #[schema(example = "member")]
    pub role: String,
    /// Whether it is kept out, with its VMs off.
    pub disabled: bool,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub created_at: String,
    /// The one-time code to sign in with, good for a day. It is in the answer that made it, and nowhere else.
    #[serde(default)]
    #[schema(required, example = json!(null))]
    pub secret: Option<String>,
    /// What to do where the secret was shown before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
}

/// Some users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    /// The users, in the order of their names.
    pub items: Vec<User>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// What a user may be asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Sees and touches what is theirs or shared with them.
    Member,
    /// Sees all, and may do all.
    Admin,
}

/// What is asked of a new user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Its name: a DNS label of at most 63 of `a-z 0-9 -`.
    #[schema(
        example = "ann",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
    )]
    pub name: String,
    /// What it is here: `member`, where left out, or `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RoleName>, example = "member")]
    pub role: Option<String>,
}

/// What is asked of a user from now on: a JSON merge patch (RFC 7396). What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    /// What it is here: `member` or `admin`.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false, value_type = Option<RoleName>, example = "admin")]
    pub role: Option<String>,
}

/// Who asks, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The user.
    pub user: User,
    /// The teams that the user is in, in the order of their names.
    pub teams: Vec<MyTeam>,
    /// The token that asks.
    pub token: MyToken,
}

/// A team, as one who is in it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyTeam {
    /// Its id.
    #[schema(value_type = String, example = "team_00000000000000000000000000")]
    pub id: TeamId,
    /// Its name.
    #[schema(example = "ops")]
    pub name: String,
    /// What the user is in it: `member` or `owner`; more may come.
    #[schema(example = "member")]
    pub role: String,
}

/// The token that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyToken {
    /// Its id.
    #[schema(value_type = String, example = "token_00000000000000000000000000")]
    pub id: TokenId,
    /// What it is good for; more may come.
    #[schema(example = json!(["vm:read", "vm:use"]))]
    pub scopes: Vec<String>,
    /// From when on it is good for nothing, RFC 3339 in UTC; null is never.
    #[schema(required, format = "date-time", example = "2027-02-20T09:00:00Z")]
    pub expires_at: Option<String>,
}

const USER: Content = Content::Json(Shape::of::<User>());

const fn answered(status: u16, description: &'static str, content: Content) -> Answer {
    Answer {
        status,
        description,
        content,
    }
}

/// Shows who asks.
pub const ME: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/me",
    operation_id: "me",
    summary: "Show who asks, and what the token is good for",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[answered(200, "Who asks", Content::Json(Shape::of::<Me>()))],
    problems: &[],
};

/// Lists users.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users",
    operation_id: "user_list",
    summary: "List users: oneself; for admins all",
    access: Access::Scope(Scope::AccountRead),
    query: PAGE,
    request: None,
    answers: &[answered(200, "The users", Content::Json(Shape::of::<UserList>()))],
    problems: &[
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
    ],
};

/// Creates a user.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users",
    operation_id: "user_create",
    summary: "Create a user, and a one-time code to sign in with",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateUser>())),
    answers: &[answered(201, "It is there; the code is shown this once", USER)],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NameTaken],
};

/// Shows a user.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users/{user}",
    operation_id: "user_get",
    summary: "Show a user: oneself; for admins anybody",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[answered(200, "The user", USER)],
    problems: &[ProblemCode::NotFound],
};

/// Changes a user.
pub const CHANGE: Endpoint = Endpoint {
    method: Method::PATCH,
    path: "/v1/users/{user}",
    operation_id: "user_change",
    summary: "Give a user another role",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: Some(Content::MergePatch(Shape::of::<ChangeUser>())),
    answers: &[answered(200, "The user as it is now", USER)],
    problems: &[
        ProblemCode::AdminOnly,
        ProblemCode::NotFound,
        ProblemCode::LastAdmin,
    ],
};

/// Deletes a user.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/users/{user}",
    operation_id: "user_delete",
    summary: "Delete a user, with keys, tokens and memberships; what it has open ends",
    access: Access::Scope(Scope::Admin),
    query: &[TRANSFER_TO],
    request: None,
    answers: &[answered(
        204,
        "It is gone, and its name is free",
        Content::Nothing,
    )],
    problems: &[
        ProblemCode::AdminOnly,
        ProblemCode::NotFound,
        ProblemCode::LastAdmin,
        ProblemCode::OwnsVms,
        ProblemCode::NameTaken,
        ProblemCode::QuotaExceeded,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidValue,
    ],
};

/// Lets a user in again.
pub const ENABLE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users/{user}/enable",
    operation_id: "user_enable",
    summary: "Let a disabled user in again; its VMs run as before",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: None,
    answers: &[answered(200, "It may come in", USER)],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NotFound],
};

/// Keeps a user out.
pub const DISABLE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users/{user}/disable",
    operation_id: "user_disable",
    summary: "Keep a user out: tokens and keys open nothing, what is open ends, its VMs stop",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: None,
    answers: &[answered(200, "It is kept out", USER)],
    problems: &[
        ProblemCode::AdminOnly,
        ProblemCode::NotFound,
        ProblemCode::LastAdmin,
    ],
};

/// Makes a one-time code.
pub const CODE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users/{user}/code",
    operation_id: "user_code",
    summary: "Make a one-time code for a user to sign in with, in the place of the one before",
    access: Access::Scope(Scope::Admin),
    query: &[],
    request: None,
    answers: &[answered(
        200,
        "The user, with a code that is shown this once",
        USER,
    )],
    problems: &[ProblemCode::AdminOnly, ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[
    &ME, &LIST, &CREATE, &GET, &CHANGE, &DELETE, &ENABLE, &DISABLE, &CODE,
];
