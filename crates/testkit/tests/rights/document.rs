//! What is answered, held against what the OpenAPI document says of it: the status, the headers both ways, and of the body
//! that each time is in UTC and no size is a text.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use api::{Content, Endpoint};
use serde_json::Value;

use crate::world::Answer;

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api::openapi()).unwrap());

/// Headers that belong to HTTP and to the way there: the document says nothing of them.
const OF_HTTP: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
    "vary",
];
/// Headers that come only where something happened that does not happen here.
const SOMETIMES: [&str; 2] = ["idempotent-replayed", "retry-after"];

/// What was answered other than the document says, and how many times were looked at.
pub(crate) fn faults(endpoint: &Endpoint, answer: &Answer) -> (Vec<String>, usize) {
    let is_socket = |answer: &api::Answer| matches!(answer.content, Content::WebSocket);
    if endpoint.answers.iter().any(is_socket) {
        return (Vec::new(), 0);
    }
    let method = endpoint.method.as_str().to_lowercase();
    let status = answer.status.to_string();
    let told = &DOCUMENT["paths"][endpoint.path][&method]["responses"][&status];
    let mut found = Found::default();
    if told.is_null() {
        found.faults.push("the status is not told of".to_owned());
    }
    found.headers(told, answer);
    for (_, content) in told["content"].as_object().into_iter().flatten() {
        found.body(&content["schema"], &answer.body, "");
    }
    let name = |fault| format!("{} {status}: {fault}", endpoint.operation_id);
    (found.faults.into_iter().map(name).collect(), found.times)
}

/// The schema itself, where this one only names it.
pub(crate) fn followed(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        Some(pointer) => DOCUMENT.pointer(pointer).unwrap(),
        None => schema,
    }
}

#[derive(Default)]
struct Found {
    faults: Vec<String>,
    times: usize,
}

impl Found {
    fn headers(&mut self, told: &Value, answer: &Answer) {
        let told = told["headers"].as_object();
        let told: BTreeSet<_> = told
            .into_iter()
            .flatten()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        let sent: BTreeSet<_> = answer.headers.keys().cloned().collect();
        for name in sent
            .difference(&told)
            .filter(|name| !OF_HTTP.contains(&name.as_str()))
        {
            self.faults
                .push(format!("the header {name} is sent and not told of"));
        }
        for name in told
            .difference(&sent)
            .filter(|name| !SOMETIMES.contains(&name.as_str()))
        {
            self.faults
                .push(format!("the header {name} is told of and not sent"));
        }
    }

    fn body(&mut self, schema: &'static Value, value: &Value, place: &str) {
        let schema = followed(schema);
        for choices in ["oneOf", "anyOf", "allOf"] {
            for choice in schema[choices].as_array().into_iter().flatten() {
                self.body(choice, value, place);
            }
        }
        if let (Some("date-time"), Some(time)) = (schema["format"].as_str(), value.as_str()) {
            self.times += 1;
            if !time.ends_with('Z') {
                self.faults
                    .push(format!("{place} is {time}, which is not in UTC"));
            }
        }
        if place.ends_with("_bytes") && !(value.is_u64() || value.is_null()) {
            self.faults
                .push(format!("{place} is {value}, which is no whole number"));
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            self.body(inner, &value[name], &format!("{place}/{name}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.body(&schema["items"], item, &format!("{place}/-"));
        }
    }
}
