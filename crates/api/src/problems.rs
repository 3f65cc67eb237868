//! What each problem code means: the page that a problem's `type` points to. Open to everybody.

use http::Method;
use model::ProblemCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Access, Answer, Content, Endpoint, Shape};

/// What a problem code means. Asked for as `text/html` or `text/markdown` it is a page for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPage {
    /// What programs look at.
    #[schema(example = "not_found")]
    pub code: String,
    /// What it means, in a line.
    #[schema(example = "There is no such thing")]
    pub title: String,
    /// The HTTP status that it comes with.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    pub status: u16,
    /// How `pwctl` ends on it.
    #[schema(minimum = 0, maximum = 255, example = 3)]
    pub exit_code: u8,
    /// What it means, why it comes and what to do, as Markdown.
    pub text: String,
}

/// Every problem code there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPageList {
    /// The codes, in the order of the page.
    pub items: Vec<ProblemPage>,
    /// Where the next page begins; there is one only.
    #[schema(required)]
    pub next: Option<String>,
}

/// All problem codes.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/problems",
    operation_id: "problem_list",
    summary: "List the problem codes and what to do about them",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The codes",
        content: Content::Json(Shape::of::<ProblemPageList>()),
    }],
    problems: &[],
};

/// One problem code.
pub const GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/problems/{code}",
    operation_id: "problem_get",
    summary: "Show what a problem code means and what to do about it",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The code",
        content: Content::Json(Shape::of::<ProblemPage>()),
    }],
    problems: &[ProblemCode::NotFound],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST, &GET];
