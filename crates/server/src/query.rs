//! Queries: closed shapes, as bodies are.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use model::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;
use crate::router::App;

/// A query that was read as its shape.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, app).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let detail = format!("the query cannot be read: {}", rejection.body_text());
                let problem = Problem::new(ProblemCode::InvalidRequest, detail);
                Err(problem.hint("/v1/openapi.json tells its parameters").into())
            }
        }
    }
}
