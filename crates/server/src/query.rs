//! Queries: closed shapes, as bodies are. A parameter that a shape has as a list may come several times.

use api::PageQuery;
use axum::extract::FromRequestParts;
use control::PageRequest;
use http::request::Parts;
use model::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;
use crate::router::App;

/// A query that was read as its shape.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        serde_html_form::from_str(query).map(Self).map_err(|error| {
            let detail = format!("the query cannot be read: {error}");
            let problem = Problem::new(ProblemCode::InvalidRequest, detail);
            problem.hint("/v1/openapi.json tells its parameters").into()
        })
    }
}

/// Which page of a list without filters is wanted.
pub(crate) fn page(query: PageQuery) -> PageRequest {
    PageRequest {
        limit: query.limit,
        cursor: query.cursor,
    }
}
