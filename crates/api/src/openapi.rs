//! The OpenAPI document, made from the list of endpoints.

use std::collections::BTreeMap;

use http::Method;
use model::{ProblemCode, Scope};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{
    ArrayBuilder, ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content as Body, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths, Ref, RefOr,
    Required, Response, ResponseBuilder, Schema,
};

use crate::endpoint::{
    BYTES_MEDIA_TYPE, JSON_MEDIA_TYPE, LINES_MEDIA_TYPE, MERGE_PATCH_MEDIA_TYPE, Named, Query, QueryKind,
    TAR_MEDIA_TYPE,
};
use crate::{
    Access, Content, Endpoint, IDEMPOTENCY_KEY, PROBLEM_MEDIA_TYPE, ProblemDocument, Shape, code_row,
    endpoints, headers, links,
};

/// The document as it is checked in beside this crate; a test holds it equal to [`openapi`].
pub const OPENAPI_JSON: &str = include_str!("../openapi.json");

const SCHEME: &str = "token";

/// The codes that a refusal may carry, for programs: `cargo xtask api-compat` holds them.
const PROBLEM_CODES: &str = "x-problem-codes";

/// The OpenAPI 3.1 document of the API.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Pitwall")
        .version("v1")
        .description(Some("Virtual machines that people can simply ssh into."))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of Pitwall's, such as the one in its admin.token file",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas())
        .security_scheme(SCHEME, SecurityScheme::Http(token));
    let components = headers::components()
        .fold(components, |components, (name, header)| {
            components.header(name, header)
        })
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths())
        .components(Some(components))
        .build()
}

/// What OpenAPI can describe. A WebSocket is none of it: docs/streams.md is the contract of those.
fn described() -> impl Iterator<Item = &'static Endpoint> {
    let is_socket = |endpoint: &Endpoint| {
        let mut answers = endpoint.answers.iter();
        answers.any(|answer| matches!(answer.content, Content::WebSocket))
    };
    endpoints().filter(move |endpoint| !is_socket(endpoint))
}

fn paths() -> Paths {
    let mut items: BTreeMap<&str, PathItem> = BTreeMap::new();
    for endpoint in described() {
        let item = PathItem::new(http_method(&endpoint.method), operation(endpoint));
        match items.get_mut(endpoint.path) {
            Some(known) => known.merge_operations(item),
            None => drop(items.insert(endpoint.path, item)),
        }
    }
    items
        .into_iter()
        .fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item))
        .build()
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

fn operation(endpoint: &Endpoint) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(endpoint.operation_id))
        .summary(Some(endpoint.summary));
    for name in endpoint.parameters() {
        operation = operation.parameter(path_parameter(endpoint, name));
    }
    for query in endpoint.query {
        operation = operation.parameter(query_parameter(query));
    }
    for header in terms(endpoint) {
        operation = operation.parameter(header);
    }
    if let Some(content) = endpoint.request {
        operation = operation.request_body(request(content));
    }
    for answer in endpoint.answers {
        if matches!(answer.content, Content::Events(_)) {
            operation = operation.parameter(last_event_id());
        }
        let response = ResponseBuilder::new().description(answer.description);
        let response = links::from(endpoint, answer.status)
            .into_iter()
            .fold(response, |response, (name, link)| response.link(name, link));
        let names = headers::of_answer(endpoint, answer.status, answer.content);
        let response = with_headers(response, &names);
        let response = match body(answer.content) {
            Some((media_type, body)) => response.content(media_type, body),
            None => response,
        };
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for (status, response) in refusals(endpoint) {
        operation = operation.response(status.to_string(), response);
    }
    let security = match endpoint.access {
        Access::Open => SecurityRequirement::default(),
        Access::Token => SecurityRequirement::new(SCHEME, [""; 0]),
        Access::Scope(scope) => SecurityRequirement::new(SCHEME, [scope.as_str()]),
    };
    operation.security(security).build()
}

fn request(content: Content) -> Option<RequestBody> {
    let (media_type, form) = body(content)?;
    let mut request = RequestBodyBuilder::new()
        .description(request_note(content))
        .required(Some(Required::True));
    if matches!(content, Content::MergePatch(_)) {
        request = request.content(JSON_MEDIA_TYPE, form.clone());
    }
    if matches!(content, Content::Tar) {
        request = request.content(BYTES_MEDIA_TYPE, form.clone());
    }
    Some(request.content(media_type, form).build())
}

/// The media type and form of a body.
fn body(content: Content) -> Option<(&'static str, Body)> {
    let of = |shape: &Shape| Body::new(Some(reference(shape)));
    match content {
        Content::Nothing | Content::WebSocket => None,
        Content::Json(shape) => Some((JSON_MEDIA_TYPE, of(&shape))),
        Content::MergePatch(shape) => Some((MERGE_PATCH_MEDIA_TYPE, of(&shape))),
        Content::Events(shape) => Some(("text/event-stream", Body::new(Some(event(&shape))))),
        Content::Lines(shape) => Some((LINES_MEDIA_TYPE, of(&shape))),
        Content::AnyJson => {
            let any = ObjectBuilder::new().schema_type(Type::Object).build();
            Some((JSON_MEDIA_TYPE, Body::new(Some(any))))
        }
        Content::Tar => {
            let bytes = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
                .build();
            Some((TAR_MEDIA_TYPE, Body::new(Some(bytes))))
        }
    }
}

/// A server-sent event (HTML standard, section 9.2), as an object of its fields.
fn event(data: &Shape) -> ObjectBuilder {
    let described = |description: String| text().description(Some(description));
    let data = format!("JSON of the schema `{}`; `{{}}` in a `reset`", (data.name)());
    ObjectBuilder::new()
        .property(
            "id",
            described("Where it stands; `Last-Event-ID` goes on behind it".to_owned()),
        )
        .property("event", described("What kind of thing it tells of".to_owned()))
        .property("data", described(data).content_media_type(JSON_MEDIA_TYPE))
        .required("event")
        .required("data")
}

/// Whether the body is JSON of a closed shape, which can be refused as such.
const fn is_closed(content: Content) -> bool {
    matches!(content, Content::Json(_) | Content::MergePatch(_))
}

fn request_note(content: Content) -> Option<&'static str> {
    is_closed(content).then_some("Closed: a field that is not listed is refused")
}

fn refusals(endpoint: &Endpoint) -> BTreeMap<u16, Response> {
    let mut codes = endpoint.problems.to_vec();
    if endpoint.takes_key() {
        codes.push(ProblemCode::IdempotencyMismatch);
    }
    if endpoint.takes_condition() {
        codes.push(ProblemCode::Changed);
    }
    if endpoint.takes_key() || endpoint.takes_condition() || !endpoint.query.is_empty() {
        codes.push(ProblemCode::InvalidRequest);
    }
    if endpoint.access != Access::Open {
        codes.extend([
            ProblemCode::Unauthenticated,
            ProblemCode::TokenExpired,
            ProblemCode::UserDisabled,
            ProblemCode::Unavailable,
        ]);
    }
    if let Access::Scope(scope) = endpoint.access {
        codes.push(ProblemCode::InsufficientScope);
        if scope == Scope::Admin {
            codes.push(ProblemCode::AdminOnly);
        }
    }
    if endpoint.request.is_some_and(is_closed) {
        codes.extend([
            ProblemCode::InvalidRequest,
            ProblemCode::InvalidValue,
            ProblemCode::BodyTooLarge,
            ProblemCode::UnsupportedMediaType,
        ]);
    }
    codes.extend([
        ProblemCode::RateLimited,
        ProblemCode::Timeout,
        ProblemCode::Internal,
    ]);
    let mut by_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
    for code in codes {
        let of_status = by_status.entry(code_row(code).status).or_default();
        if !of_status.contains(&code) {
            of_status.push(code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status, refusal(status, &codes)))
        .collect()
}

/// Each header by reference: what it says is written once, in the components.
fn with_headers(response: ResponseBuilder, names: &[&str]) -> ResponseBuilder {
    names.iter().fold(response, |response, &name| {
        response.header_ref(name, Ref::new(format!("#/components/headers/{name}")))
    })
}

fn refusal(status: u16, codes: &[ProblemCode]) -> Response {
    let lines: Vec<_> = codes
        .iter()
        .map(|&code| format!("`{code}`: {}", code_row(code).title))
        .collect();
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let extensions = ExtensionsBuilder::new().add(PROBLEM_CODES, names).build();
    let response = ResponseBuilder::new().description(lines.join("; "));
    with_headers(response, &headers::of_refusal(status))
        .extensions(Some(extensions))
        .content(
            PROBLEM_MEDIA_TYPE,
            Body::new(Some(reference(&Shape::of::<ProblemDocument>()))),
        )
        .build()
}

fn path_parameter(endpoint: &Endpoint, name: &str) -> Parameter {
    let (description, example) = match name {
        "vm" => ("A VM: its id, or its name (its id where it was found)", None),
        "host" => ("A host: its id or its name", None),
        "code" => ("A problem code", Some("not_found")),
        "exec" => ("A program that was asked for: its id", None),
        "user" if endpoint.path.starts_with("/v1/teams/") => ("A user: its id or its name", Some("ann")),
        "user" => ("A user: its id, its name, or `me`", Some("me")),
        "team" => ("A team: its id or its name", Some("ops")),
        "principal" => ("A user or a team: its id or its name", Some("ops")),
        "fingerprint" => ("The SHA256 fingerprint of a key", None),
        "token" => ("A token: its id", None),
        _ => ("", None),
    };
    let schema = text().examples(example);
    parameter(name, ParameterIn::Path, Required::True, description, schema)
}

fn query_parameter(query: &Query) -> Parameter {
    let schema = RefOr::T(match query.kind {
        QueryKind::Texts(most) => Schema::from(ArrayBuilder::new().items(text()).max_items(Some(most))),
        QueryKind::Flag
        | QueryKind::Whole
        | QueryKind::Between(..)
        | QueryKind::Time
        | QueryKind::Text
        | QueryKind::Path
        | QueryKind::OneOf(_) => Schema::from(single(query.kind)),
    });
    let required = match query.required {
        true => Required::True,
        false => Required::False,
    };
    ParameterBuilder::new()
        .name(query.name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(query.description))
        .schema(Some(schema))
        .build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// The schema of a parameter that comes once.
fn single(kind: QueryKind) -> ObjectBuilder {
    let whole = || ObjectBuilder::new().schema_type(Type::Integer);
    match kind {
        QueryKind::Flag => ObjectBuilder::new().schema_type(Type::Boolean),
        QueryKind::Whole => whole().minimum(Some(0)).maximum(Some(u64::MAX)),
        QueryKind::Between(least, most) => whole().minimum(Some(least)).maximum(Some(most)),
        QueryKind::Text | QueryKind::Texts(_) => text(),
        QueryKind::Path => text().pattern(Some("^/[^\\u0000]*$")).examples(["/etc/hostname"]),
        QueryKind::OneOf(words) => text().enum_values(Some(words.iter().copied())),
        QueryKind::Time => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
    }
}

/// The headers that say on which terms a request is made.
fn terms(endpoint: &Endpoint) -> Vec<Parameter> {
    let header = |name: &str, pattern: &str, description: &str| {
        let schema = text().pattern(Some(pattern));
        parameter(name, ParameterIn::Header, Required::False, description, schema)
    };
    let key = endpoint.takes_key().then(|| {
        let description = "Does it once, however often it is sent with this key within a day: the answer is the same, with \
                           `Idempotent-Replayed: true`";
        header(IDEMPOTENCY_KEY, "^[!-~]{1,128}$", description)
    });
    let condition = endpoint.takes_condition().then(|| {
        let description = "Does it only where the VM's `ETag`, its generation, is still this one";
        header("If-Match", r#"^(\*|"[0-9]{1,19}")$"#, description)
    });
    key.into_iter().chain(condition).collect()
}

fn last_event_id() -> Parameter {
    let description = "The id of the last event received: the events after it follow";
    parameter(
        "Last-Event-ID",
        ParameterIn::Header,
        Required::False,
        description,
        text(),
    )
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    description: &str,
    schema: ObjectBuilder,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema.build()))
        .build()
}

fn reference(shape: &Shape) -> Ref {
    Ref::from_schema_name((shape.name)())
}

fn shape(content: Content) -> Option<Shape> {
    match content {
        Content::Json(shape)
        | Content::MergePatch(shape)
        | Content::Events(shape)
        | Content::Lines(shape) => Some(shape),
        Content::Nothing | Content::AnyJson | Content::Tar | Content::WebSocket => None,
    }
}

fn schemas() -> Vec<Named> {
    let mut named = Vec::new();
    let mut shapes = vec![Shape::of::<ProblemDocument>()];
    for endpoint in described() {
        let answers = endpoint.answers.iter().map(|answer| answer.content);
        shapes.extend(endpoint.request.into_iter().chain(answers).filter_map(shape));
    }
    for shape in shapes {
        named.push(((shape.name)().into_owned(), (shape.schema)()));
        (shape.inner)(&mut named);
    }
    named
}
