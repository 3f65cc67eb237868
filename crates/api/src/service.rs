//! The service itself: health, version, and this document. Open to everybody.

use http::Method;
use model::ProblemCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Access, Answer, Content, Endpoint, Shape};

/// That the service answers, or is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: String,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of Pitwall.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// The version of the API.
    #[schema(example = "v1")]
    pub api: String,
    /// The oldest `pwctl` that is served.
    #[schema(example = "0.1.0")]
    pub oldest_pwctl: String,
}

/// Whether the service answers.
pub const HEALTH: Endpoint = Endpoint {
    method: Method::GET,
    path: "/healthz",
    operation_id: "health",
    summary: "Tell that the service answers",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "It does",
        content: Content::Json(Shape::of::<Health>()),
    }],
    problems: &[],
};

/// Whether requests should be sent here.
pub const READY: Endpoint = Endpoint {
    method: Method::GET,
    path: "/readyz",
    operation_id: "ready",
    summary: "Tell whether it can do what it is for: the database takes changes, the reconcilers run, a host reports",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "It can",
        content: Content::Json(Shape::of::<Health>()),
    }],
    problems: &[ProblemCode::Unavailable],
};

/// What is served.
pub const VERSION: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/version",
    operation_id: "version",
    summary: "Show the versions served",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The versions",
        content: Content::Json(Shape::of::<Version>()),
    }],
    problems: &[],
};

/// The API's document.
pub const OPENAPI: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/openapi.json",
    operation_id: "openapi",
    summary: "Show this document",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The OpenAPI document",
        content: Content::AnyJson,
    }],
    problems: &[],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&HEALTH, &READY, &VERSION, &OPENAPI];
