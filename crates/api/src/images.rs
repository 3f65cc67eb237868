//! Images that hosts hold: `/v1/images`.

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lists::PAGE;
use crate::{Access, Answer, Content, Endpoint, Shape};

/// An image in the cache of one or more hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its manifest.
    #[schema(example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub digest: String,
    /// The references it was pulled by; for members, those that VMs name which they may use.
    pub references: Vec<String>,
    /// Bytes it takes on a host's disk.
    pub size_bytes: u64,
    /// The names of the hosts that hold it; for members, none.
    pub hosts: Vec<String>,
}

/// Some images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageList {
    /// The images, in the order of their digests.
    pub items: Vec<Image>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    pub next: Option<String>,
}

/// Lists images.
pub const LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/images",
    operation_id: "image_list",
    summary: "List the images that hosts hold; for members, those of VMs they may use",
    access: Access::Scope(Scope::VmRead),
    query: PAGE,
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The images",
        content: Content::Json(Shape::of::<ImageList>()),
    }],
    problems: &[ProblemCode::InvalidCursor, ProblemCode::InvalidValue],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LIST];
