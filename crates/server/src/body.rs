//! Request bodies: JSON and merge patches of a closed shape, with the place of the mistake in each refusal.

use api::{JSON_MEDIA_TYPE, MERGE_PATCH_MEDIA_TYPE};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use model::{Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::refusal::Refusal;
use crate::router::App;

/// A body that was read as its shape.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        read(request, app, &[JSON_MEDIA_TYPE]).await.map(Self)
    }
}

/// A JSON merge patch (RFC 7396) that was read as its shape.
pub(crate) struct Patch<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Patch<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        read(request, app, &[MERGE_PATCH_MEDIA_TYPE, JSON_MEDIA_TYPE])
            .await
            .map(Self)
    }
}

async fn read<T: DeserializeOwned>(request: Request, app: &App, media_types: &[&str]) -> Result<T, Refusal> {
    if !is_called(media_types, request.headers()) {
        return Err(not_json(media_types).into());
    }
    let bytes = Bytes::from_request(request, app).await.map_err(unread)?;
    Ok(parse(&bytes)?)
}

fn is_called(media_types: &[&str], headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    media_types
        .iter()
        .any(|media_type| essence.trim().eq_ignore_ascii_case(media_type))
}

fn not_json(media_types: &[&str]) -> Problem {
    Problem::new(ProblemCode::UnsupportedMediaType, "the body is not called JSON").hint(format!(
        "send it with the header Content-Type: {}",
        media_types.join(" or ")
    ))
}

fn unread(rejection: BytesRejection) -> Problem {
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(ProblemCode::BodyTooLarge, "the body is larger than 256 KiB")
        }
        _ => Problem::new(ProblemCode::InvalidRequest, "the body ended before its end"),
    }
}

/// To JSON Schema `2.0` is the integer 2 (2020-12, section 4.2.3), to Rust it is none: a body that is refused is looked
/// at once more with its whole numbers written as such.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would read its items in the order of the fields.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let problem = Problem::new(ProblemCode::InvalidRequest, "the body is an array and no object");
        return Err(problem.hint("/v1/openapi.json tells its form"));
    }
    parse_as_written(bytes).or_else(|problem| parse_in_integers(bytes).ok_or(problem))
}

fn parse_in_integers<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut value = serde_json::from_slice(bytes).ok()?;
    if !write_in_integers(&mut value) {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// The value with its whole numbers written as integers.
pub(crate) fn in_integers(mut value: Value) -> Value {
    write_in_integers(&mut value);
    value
}

/// Whether any number is another now.
fn write_in_integers(value: &mut Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => false,
        Value::Number(number) => {
            // Beyond 2^53 a float is none of the integers near it. From 2^50 on the parser may have missed the last bit,
            // which is a fraction still.
            let is_whole = |float: &f64| float.fract() == 0.0 || float.abs() >= 1_125_899_906_842_624.0;
            let whole = number
                .as_f64()
                .filter(|float| is_whole(float) && float.abs() <= 9_007_199_254_740_992.0);
            let is_float = number.is_f64();
            match whole.filter(|_| is_float) {
                Some(float) => {
                    *number = (float.round() as i64).into();
                    true
                }
                None => false,
            }
        }
        // No short cut: each of them is to be written anew.
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |any, item| write_in_integers(item) | any),
        Value::Object(fields) => fields
            .values_mut()
            .fold(false, |any, field| write_in_integers(field) | any),
    }
}

fn parse_as_written<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let detail = format!(
            "the body cannot be read: {}",
            without_words(&error.inner().to_string())
        );
        let problem =
            Problem::new(ProblemCode::InvalidRequest, detail).hint("/v1/openapi.json tells its form");
        if pointer.is_empty() {
            problem
        } else {
            problem.at(pointer)
        }
    })?;
    json.end().map_err(|error| {
        Problem::new(
            ProblemCode::InvalidRequest,
            format!("something stands behind the body: {error}"),
        )
    })?;
    Ok(value)
}

/// Serde's complaint without the text that it complains of, which may be a secret in the wrong place.
fn without_words(complaint: &str) -> String {
    // It writes `invalid type: string "…", expected …`; what is expected quotes nothing.
    match (complaint.find(" string \""), complaint.rfind("\", expected ")) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{} string{}", &complaint[..begin], &complaint[end + 1..])
        }
        (Some(_) | None, Some(_) | None) => complaint.to_owned(),
    }
}

/// The place as a JSON pointer (RFC 6901 section 3).
fn pointer(path: &Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

#[cfg(test)]
mod tests {
    use api::CreateVm;

    use super::*;

    fn refused(body: &str) -> Problem {
        parse::<CreateVm>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let problem = refused(r#"{"name":"a","image":"b","keys":[],"colour":"red"}"#);
        assert!(
            problem.detail.contains("unknown field `colour`"),
            "{}",
            problem.detail
        );
        assert_eq!(problem.pointer.as_deref(), Some("/colour"));
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        let body = r#"{"name":"a","image":"b","keys":[],"cpus":2.0,"memory_bytes":1e9}"#;
        let wish: CreateVm = parse(body.as_bytes()).unwrap();
        assert_eq!((wish.cpus, wish.memory_bytes), (Some(2), Some(1_000_000_000)));
        let body = r#"{"name":"a","image":"b","disk_bytes":4232149974312538.0}"#;
        let wish: CreateVm = parse(body.as_bytes()).unwrap();
        assert_eq!(wish.disk_bytes, Some(4_232_149_974_312_538));
        let wish: api::PutQuota = parse(br#"{"vms":9007199254740992.0}"#).unwrap();
        assert_eq!(wish.vms, Some(api::quotas::MAX_LIMIT));
        let problem = refused(r#"{"name":"a","image":"b","keys":[],"cpus":2.5}"#);
        assert_eq!(problem.pointer.as_deref(), Some("/cpus"));
    }

    #[test]
    fn an_array_is_no_object() {
        let problem = parse::<api::ResizeVm>(b" []").unwrap_err();
        assert_eq!(problem.detail, "the body is an array and no object");
        assert_eq!(
            refused(r#"{"name":"a","image":"b","service":[]}"#)
                .pointer
                .as_deref(),
            Some("/service")
        );
    }

    #[test]
    fn a_text_in_the_wrong_place_is_not_repeated() {
        for body in [
            r#""canary""#,
            r#"{"registry_auth":"fred:canary"}"#,
            r#"{"keys":"canary\", expected nothing, canary"}"#,
            r#"{"cpus":"canary"}"#,
        ] {
            let detail = refused(body).detail;
            assert!(
                detail.contains("string, expected") && !detail.contains("canary"),
                "{detail}"
            );
        }
    }

    #[test]
    fn the_place_of_a_mistake_is_told() {
        assert_eq!(
            refused(r#"{"name":"a","cpus":"two"}"#).pointer.as_deref(),
            Some("/cpus")
        );
        assert_eq!(
            refused(r#"{"name":"a","image":"b","keys":["k",7]}"#)
                .pointer
                .as_deref(),
            Some("/keys/1")
        );
        assert!(
            refused(r#"{"name":"a","keys":[]}"#)
                .detail
                .contains("missing field `image`")
        );
        assert_eq!(refused("{").pointer, None);
        assert!(
            refused(r#"{"name":"a","image":"b","keys":[]} x"#)
                .detail
                .contains("behind the body")
        );
    }
}
