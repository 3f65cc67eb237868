//! The SSH keys of an account: `/v1/users/{user}/keys`. They open every VM that the user may use.

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// An SSH public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshKey {
    /// What tells it from every other: `SHA256:` and its digest, as `ssh-keygen -l` prints it.
    #[schema(example = "SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY")]
    pub fingerprint: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(example = "ssh-ed25519")]
    pub kind: String,
    /// What its owner wrote behind it.
    #[schema(example = "ann@laptop")]
    pub comment: String,
    /// The key, as an OpenSSH public key on one line.
    #[schema(
        example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw ann@laptop"
    )]
    pub key: String,
    /// Since when it is there, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub added_at: String,
}

/// Some keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshKeyList {
    /// The keys, oldest first.
    pub items: Vec<SshKey>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// A key to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSshKey {
    /// An OpenSSH public key, one line without options.
    #[schema(
        max_length = 16_384,
        example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw ann@laptop"
    )]
    pub key: String,
}

const KEY: Content = Content::Json(Shape::of::<SshKey>());

/// Lists keys.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users/{user}/keys",
    operation_id: "key_list",
    summary: "List the SSH keys of an account",
    access: Access::Scope(Scope::AccountRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The keys",
        content: Content::Json(Shape::of::<SshKeyList>()),
    }],
    problems: &[
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidCursor,
        ProblemCode::InvalidValue,
        ProblemCode::NotFound,
    ],
};

/// Adds a key.
pub const CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/users/{user}/keys",
    operation_id: "key_create",
    summary: "Add an SSH key to an account; one that it has gets another comment",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: Some(Content::Json(Shape::of::<CreateSshKey>())),
    answers: &[Answer {
        status: 201,
        description: "It opens what the user may use",
        content: KEY,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Shows a key.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/users/{user}/keys/{fingerprint}",
    operation_id: "key_get",
    summary: "Show an SSH key of an account",
    access: Access::Scope(Scope::AccountRead),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The key",
        content: KEY,
    }],
    problems: &[ProblemCode::NotFound],
};

/// Removes a key.
pub const DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/users/{user}/keys/{fingerprint}",
    operation_id: "key_delete",
    summary: "Remove an SSH key from an account; open sessions stay",
    access: Access::Scope(Scope::AccountWrite),
    query: &[],
    request: None,
    answers: &[Answer {
        status: 204,
        description: "It opens nothing any more",
        content: Content::Nothing,
    }],
    problems: &[ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &CREATE, &GET, &DELETE];
