//! The OpenAPI document, made from the list of endpoints.

use std::collections::BTreeMap;

use http::Method;
use model::ProblemCode;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content as Body, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths, Ref, Required,
    Response, ResponseBuilder,
};

use crate::endpoint::Named;
use crate::{Access, Content, Endpoint, PROBLEM_MEDIA_TYPE, ProblemDocument, Shape, code_row, endpoints};

/// The document as it is checked in beside this crate; a test holds it equal to [`openapi`].
pub const OPENAPI_JSON: &str = include_str!("../openapi.json");

const SCHEME: &str = "token";

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
        .security_scheme(SCHEME, SecurityScheme::Http(token))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths())
        .components(Some(components))
        .build()
}

fn paths() -> Paths {
    let mut items: BTreeMap<&str, PathItem> = BTreeMap::new();
    for endpoint in endpoints() {
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
        operation = operation.parameter(path_parameter(name));
    }
    if let Some(shape) = endpoint.request {
        let body = RequestBodyBuilder::new()
            .description(Some("Closed: a field that is not listed is refused"))
            .content("application/json", Body::new(Some(reference(&shape))))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    for answer in endpoint.answers {
        let response = ResponseBuilder::new().description(answer.description);
        let response = match answer.content {
            Content::Nothing => response,
            Content::Json(shape) => response.content("application/json", Body::new(Some(reference(&shape)))),
            Content::AnyJson => {
                let any = ObjectBuilder::new().schema_type(Type::Object).build();
                response.content("application/json", Body::new(Some(any)))
            }
            Content::Events(shape) => {
                operation = operation.parameter(last_event_id());
                response.content("text/event-stream", Body::new(Some(reference(&shape))))
            }
        };
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for (status, response) in refusals(endpoint) {
        operation = operation.response(status.to_string(), response);
    }
    let security = match endpoint.access {
        Access::Open => SecurityRequirement::default(),
        Access::Token => SecurityRequirement::new(SCHEME, Vec::<String>::new()),
    };
    operation.security(security).build()
}

fn refusals(endpoint: &Endpoint) -> BTreeMap<u16, Response> {
    let mut codes = endpoint.problems.to_vec();
    if endpoint.access == Access::Token {
        codes.extend([ProblemCode::Unauthenticated, ProblemCode::Unavailable]);
    }
    if endpoint.request.is_some() {
        codes.extend([
            ProblemCode::InvalidRequest,
            ProblemCode::InvalidValue,
            ProblemCode::BodyTooLarge,
            ProblemCode::UnsupportedMediaType,
        ]);
    }
    codes.extend([ProblemCode::Timeout, ProblemCode::Internal]);
    let mut by_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code_row(code).status).or_default().push(code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status, refusal(&codes)))
        .collect()
}

fn refusal(codes: &[ProblemCode]) -> Response {
    let lines: Vec<_> = codes
        .iter()
        .map(|&code| format!("`{code}`: {}", code_row(code).title))
        .collect();
    ResponseBuilder::new()
        .description(lines.join("; "))
        .content(
            PROBLEM_MEDIA_TYPE,
            Body::new(Some(reference(&Shape::of::<ProblemDocument>()))),
        )
        .build()
}

fn path_parameter(name: &str) -> Parameter {
    let description = match name {
        "vm" => "A VM: its id, or its name (its id where it was found)",
        "host" => "A host: its id or its name",
        _ => "",
    };
    parameter(name, ParameterIn::Path, Required::True, description)
}

fn last_event_id() -> Parameter {
    let description = "The id of the last event received: the events after it follow";
    parameter("Last-Event-ID", ParameterIn::Header, Required::False, description)
}

fn parameter(name: &str, place: ParameterIn, required: Required, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

fn reference(shape: &Shape) -> Ref {
    Ref::from_schema_name((shape.name)())
}

fn schemas() -> Vec<Named> {
    let mut named = Vec::new();
    let mut shapes = vec![Shape::of::<ProblemDocument>()];
    for endpoint in endpoints() {
        shapes.extend(endpoint.request);
        shapes.extend(endpoint.answers.iter().filter_map(|answer| match answer.content {
            Content::Json(shape) | Content::Events(shape) => Some(shape),
            Content::Nothing | Content::AnyJson => None,
        }));
    }
    for shape in shapes {
        named.push(((shape.name)().into_owned(), (shape.schema)()));
        (shape.inner)(&mut named);
    }
    named
}
