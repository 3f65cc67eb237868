//! What an endpoint is: everything that the router, the client, the OpenAPI document and the tests need to know of
//! it, in one constant beside the resource's shapes.

use std::borrow::Cow;

use http::Method;
use model::{ProblemCode, Scope};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::audit;
use crate::{
    actions, console, events, exec, files, hosts, images, keys, logs, problems, quotas, service, shares,
    teams, tokens, users, vms, wait,
};

/// One operation of the API.
#[derive(Debug)]
pub struct Endpoint {
    /// The HTTP method.
    pub method: Method,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// The name of the operation, for generated clients and logs; it never changes.
    pub operation_id: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What its query may hold. Closed: anything else is refused by name.
    pub query: &'static [Query],
    /// The body it takes.
    pub request: Option<Content>,
    /// How it answers when all is well.
    pub answers: &'static [Answer],
    /// The refusals of its own; those that every endpoint has are not listed.
    pub problems: &'static [ProblemCode],
}

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Who shows a bearer token (RFC 6750), whatever it is good for.
    Token,
    /// Who shows one that is good for this.
    Scope(Scope),
}

/// A parameter in the query of a request.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it does, and what holds without it.
    pub description: &'static str,
    /// Its values.
    pub kind: QueryKind,
    /// Whether it must be there.
    pub required: bool,
}

/// The values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// `true` or `false`.
    Flag,
    /// A whole number from 0.
    Whole,
    /// A whole number from one to another, both included.
    Between(u64, u64),
    /// A time, RFC 3339.
    Time,
    /// Any text.
    Text,
    /// An absolute path in a VM.
    Path,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any texts: the parameter may come so many times.
    Texts(usize),
}

/// One good answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// When it is given.
    pub description: &'static str,
    /// Its body.
    pub content: Content,
}

/// A body.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// None.
    Nothing,
    /// JSON of a shape.
    Json(Shape),
    /// A JSON merge patch (RFC 7396) of a shape; it may also come as plain JSON.
    MergePatch(Shape),
    /// Server-sent events whose `data` is JSON of a shape.
    Events(Shape),
    /// JSON of no fixed shape.
    AnyJson,
    /// Lines of JSON of a shape, `application/x-ndjson`.
    Lines(Shape),
    /// A tar archive, of any length.
    Tar,
    /// None: the connection goes on as a WebSocket (RFC 6455) with the messages of [`crate::frame`].
    WebSocket,
}

/// The media type of JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";
/// The media type of [`Content::MergePatch`].
pub const MERGE_PATCH_MEDIA_TYPE: &str = "application/merge-patch+json";
/// The media type of [`Content::Lines`].
pub const LINES_MEDIA_TYPE: &str = "application/x-ndjson";
/// The media type of [`Content::Tar`].
pub const TAR_MEDIA_TYPE: &str = "application/x-tar";
/// What else a [`Content::Tar`] may come as: bytes, for clients that know no better name.
pub const BYTES_MEDIA_TYPE: &str = "application/octet-stream";

pub(crate) type Named = (String, RefOr<Schema>);

/// A shape of the API, as its OpenAPI schema is made from it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) inner: fn(&mut Vec<Named>),
}

impl Shape {
    /// The shape of a type.
    pub const fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name,
            schema: T::schema,
            inner: T::schemas,
        }
    }
}

/// The header that makes a request be done once, however often it is sent.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

impl Endpoint {
    /// Whether a request may carry an [`IDEMPOTENCY_KEY`]: each POST of somebody who is signed in.
    pub fn takes_key(&self) -> bool {
        self.method == Method::POST && self.access != Access::Open
    }

    /// Whether a request may carry `If-Match` (RFC 9110 section 13.1.1): each change of one VM.
    pub fn takes_condition(&self) -> bool {
        self.path.starts_with("/v1/vms/{vm}") && self.access == Access::Scope(Scope::VmWrite)
    }

    /// The names of the path's parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The path with its parameters filled in, percent-encoded (RFC 3986 section 2.1). A missing value is left
    /// empty.
    pub fn path_with(&self, values: &[&str]) -> String {
        let mut values = values.iter();
        let segments = self
            .path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => Cow::Owned(percent_encoded(values.next().copied().unwrap_or_default())),
                false => Cow::Borrowed(segment),
            });
        segments.collect::<Vec<_>>().join("/")
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Every endpoint, resource by resource.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    [
        vms::ENDPOINTS,
        wait::ENDPOINTS,
        actions::ENDPOINTS,
        shares::ENDPOINTS,
        events::ENDPOINTS,
        logs::ENDPOINTS,
        exec::ENDPOINTS,
        console::ENDPOINTS,
        files::ENDPOINTS,
        images::ENDPOINTS,
        hosts::ENDPOINTS,
        users::ENDPOINTS,
        keys::ENDPOINTS,
        tokens::ENDPOINTS,
        teams::ENDPOINTS,
        quotas::ENDPOINTS,
        audit::ENDPOINTS,
        problems::ENDPOINTS,
        service::ENDPOINTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled_and_encoded() {
        assert_eq!(hosts::ADOPT.parameters().collect::<Vec<_>>(), ["host", "vm"]);
        assert_eq!(
            hosts::ADOPT.path_with(&["a b", "vm_1"]),
            "/v1/hosts/a%20b/found/vm_1/adopt"
        );
        assert_eq!(vms::GET.path_with(&["a/b?c"]), "/v1/vms/a%2Fb%3Fc");
    }

    #[test]
    fn operations_have_names_and_routes_of_their_own() {
        let mut ids: Vec<_> = endpoints().map(|endpoint| endpoint.operation_id).collect();
        let mut routes: Vec<_> = endpoints()
            .map(|endpoint| format!("{} {}", endpoint.method, endpoint.path))
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        routes.sort_unstable();
        routes.dedup();
        assert_eq!((ids.len(), routes.len()), (count, count));
    }
}
