//! The headers that answers have besides those of HTTP itself. A test that calls every operation compares what is sent
//! with what is listed here.

use model::ProblemCode;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::{Content, Endpoint, code_row};

/// A header as the document's components hold it: its name, what it says, and its schema.
type Row = (&'static str, &'static str, fn() -> ObjectBuilder);

const REQUEST_ID: Row = (
    "X-Request-Id",
    "The request's id: the one that was sent, where it is 1 to 64 of `[A-Za-z0-9._-]`, else a new one",
    || text("^[A-Za-z0-9._-]{1,64}$"),
);
const ETAG: Row = (
    "ETag",
    "The VM's generation in quotes, for `If-Match`; its status does not change it",
    || text("^\"[0-9]{1,19}\"$"),
);
const LOCATION: Row = ("Location", "The path of what was made", || text("^/v1/"));
const REPLAYED: Row = (
    "Idempotent-Replayed",
    "`true` where this is the answer that an earlier request with this `Idempotency-Key` got",
    || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["true"]))
    },
);
const RETRY_AFTER: Row = (
    "Retry-After",
    "Seconds until the next request is taken, where that is known",
    || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
);
const WWW_AUTHENTICATE: Row = ("WWW-Authenticate", "How to sign in: `Bearer` (RFC 6750)", || {
    ObjectBuilder::new().schema_type(Type::String)
});

const ALL: [&Row; 6] = [
    &REQUEST_ID,
    &ETAG,
    &LOCATION,
    &REPLAYED,
    &RETRY_AFTER,
    &WWW_AUTHENTICATE,
];

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
}

/// All of them, for the document's components.
pub(crate) fn components() -> impl Iterator<Item = (&'static str, Header)> {
    ALL.into_iter().map(|(name, description, schema)| {
        let header = HeaderBuilder::new().schema(Some(schema()));
        (*name, header.description(Some(*description)).build())
    })
}

/// The names of those that a good answer may have.
pub(crate) fn of_answer(endpoint: &Endpoint, status: u16, content: Content) -> Vec<&'static str> {
    let shows_vm = matches!(content, Content::Json(shape) if (shape.name)() == "Vm");
    let rows = [
        (&REQUEST_ID, true),
        (&ETAG, shows_vm),
        (&LOCATION, status == 201),
        (&REPLAYED, endpoint.takes_key()),
    ];
    names(rows)
}

/// The names of those that a refusal may have.
pub(crate) fn of_refusal(status: u16) -> Vec<&'static str> {
    let is_of = |code| code_row(code).status == status;
    names([
        (&REQUEST_ID, true),
        (&WWW_AUTHENTICATE, is_of(ProblemCode::Unauthenticated)),
        (&RETRY_AFTER, is_of(ProblemCode::RateLimited)),
    ])
}

fn names<const N: usize>(rows: [(&Row, bool); N]) -> Vec<&'static str> {
    let named = rows.into_iter().filter(|(_, is_sent)| *is_sent);
    named.map(|(row, _)| row.0).collect()
}
