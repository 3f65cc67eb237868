//! API tokens: those of an account, `/v1/users/{user}/tokens`; the one that asks, `/v1/me/token`; and the one that a
//! one-time code is exchanged for, `/v1/login`.

use http::Method;
use model::{ProblemCode, Scope, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id, which may be shown to anybody.
    #[schema(value_type = String, example = "token_00000000000000000000000000")]
    pub id: TokenId,
    /// What it is for.
    #[schema(example = "pwctl on laptop")]
    pub name: String,
    /// What it is good for; more may come.
    #[schema(example = json!(["vm:read", "vm:use"]))]
    pub scopes: Vec<String>,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub created_at: String,
    /// From when on it is good for nothing; null is never.
    #[schema(required, format = "date-time", example = "2027-02-20T09:00:00Z")]
    pub expires_at: Option<String>,
    /// When it was used last, to the minute; null is not yet.
    #[schema(required, format = "date-time", example = json!(null))]
    pub last_used_at: Option<String>,
    /// Its text. It is in the answer that made it, and nowhere else.
    #[serde(default)]
    #[schema(required, example = json!(null))]
    pub secret: Option<String>,
    /// What to do where the secret was shown before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
}

/// Some tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens, oldest first.
    pub items: Vec<Token>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// What a token may be asked to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ScopeName {
    /// Looking at VMs.
    #[serde(rename = "vm:read")]
    VmRead,
    /// Getting into VMs.
    #[serde(rename = "vm:use")]
    VmUse,
    /// Making, changing and removing VMs.
    #[serde(rename = "vm:write")]
    VmWrite,
    /// Looking at one's account, teams, quotas and audit.
    #[serde(rename = "account:read")]
    AccountRead,
    /// Changing one's account and teams.
    #[serde(rename = "account:write")]
    AccountWrite,
    /// What only admins may do.
    #[serde(rename = "admin")]
    Admin,
}

/// What is asked of a new token. It is good for no more than the token that asks, and for no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    #[schema(example = "backup", min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is good for; whatever the token that asks is, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ScopeName>>, min_items = 1, example = json!(["vm:read"]))]
    pub scopes: Option<Vec<String>>,
    /// From when on it is good for nothing, RFC 3339; after 90 days where nothing is said, or when the token that asks
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
    /// The same in seconds from now; one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 316_224_000, example = 86_400)]
    pub expires_in_seconds: Option<u64>,
}

/// What a token is given for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateLogin {
    /// The one-time code.
    #[schema(min_length = 1, max_length = 100, write_only, example = "ABCD-EFGH-IJKL-MNOP")]
    pub code: String,
    /// What the token is called: where it will be, mostly.
    #[schema(min_length = 1, max_length = 100, example = "pwctl on laptop")]
    pub name: String,
}

const TOKEN: Content = Content::Json(Shape::of::<Token>());

/// Lists tokens.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users/{user}/tokens",
    operation_id: "token_list",
    summary: "List the tokens of an account",
    access: Access::Scope(Scope::AccountRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The tokens",
        content: Content::Json(Shape::of::<TokenList>()),
    }],
    problems: &[
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
        ProblemCode::NotFound,
    ],
};

/// Makes a token.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users/{user}/tokens",
    operation_id: "token_create",
    summary: "Make a token for an account",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateToken>())),
    answers: &[Answer {
        status: 201,
        description: "The token; its text is shown this once",
        content: TOKEN,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Shows a token.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users/{user}/tokens/{token}",
    operation_id: "token_get",
    summary: "Show a token of an account",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The token, without its text",
        content: TOKEN,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Revokes a token.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/users/{user}/tokens/{token}",
    operation_id: "token_delete",
    summary: "Revoke a token; what is open with it ends",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It is good for nothing any more",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Makes a token to take the place of the one that asks.
pub const RENEW: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/me/token",
    operation_id: "token_renew",
    summary: "Make another token like the one that asks, which stays good until it is revoked",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 201,
        description: "The token; its text is shown this once",
        content: TOKEN,
    }],
    problems: &[ProblemCode::InvalidValue],
};

/// Revokes the token that asks; every token may.
pub const LOGOUT: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/me/token",
    operation_id: "logout",
    summary: "Revoke the token that asks",
    access: Access::Token,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It is good for nothing any more",
        content: Content::Nothing,
    }],
    problems: &[],
};

/// Exchanges a one-time code for a token.
pub const LOGIN: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/login",
    operation_id: "login",
    summary: "Exchange a one-time code for a token of 90 days that may do what its user may",
    access: Access::Open,
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateLogin>())),
    answers: &[Answer {
        status: 201,
        description: "The token; its text is shown this once",
        content: TOKEN,
    }],
    problems: &[ProblemCode::Unauthenticated, ProblemCode::UserDisabled],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &CREATE, &GET, &DELETE, &RENEW, &LOGOUT, &LOGIN];
