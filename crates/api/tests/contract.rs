//! The contract's checked-in pictures: changing the API means reading these files as a diff.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use api::{Access, ProblemCode, code_row, endpoints};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn checked_in(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_default()
}

/// Renewed where that is asked for.
fn assert_is_checked_in(name: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(name), text).unwrap();
    }
    assert!(
        text == checked_in(name),
        "{name} changed; look at the difference after: UPDATE_GOLDEN=1 cargo test -p api"
    );
}

#[test]
fn the_openapi_document_is_the_checked_in_one() {
    let document = serde_json::to_string_pretty(&api::openapi()).unwrap() + "\n";
    assert_is_checked_in("openapi.json", &document);
}

#[test]
fn what_pages_may_be_refused_with_is_said_of_every_list() {
    let has = |endpoint: &&api::Endpoint, name: &str| endpoint.query.iter().any(|query| query.name == name);
    let lists: Vec<_> = endpoints()
        .filter(|endpoint| has(endpoint, "limit") && has(endpoint, "cursor"))
        .collect();
    assert!(lists.len() > 10, "{}", lists.len());
    for list in lists {
        for code in [ProblemCode::InvalidCursor, ProblemCode::InvalidValue] {
            assert!(list.problems.contains(&code), "{}: {code}", list.operation_id);
        }
    }
}

#[test]
fn the_document_is_openapi_3_1_and_lists_each_endpoint_once() {
    let document: serde_json::Value = serde_json::to_value(api::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    // A WebSocket is nothing that OpenAPI can describe.
    let is_socket = |endpoint: &&api::Endpoint| {
        let mut answers = endpoint.answers.iter();
        answers.any(|answer| matches!(answer.content, api::Content::WebSocket))
    };
    let (sockets, described): (Vec<_>, Vec<_>) = endpoints().partition(is_socket);
    for socket in sockets {
        assert!(
            document["paths"].get(socket.path).is_none(),
            "{}",
            socket.operation_id
        );
    }
    for endpoint in &described {
        let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], endpoint.operation_id);
        let is_open = operation["security"][0] == serde_json::json!({});
        assert_eq!(
            is_open,
            endpoint.access == Access::Open,
            "{}",
            endpoint.operation_id
        );
    }
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, described.len());
}

/// The names of the schemas that a part of the document refers to, and of those that these refer to.
fn referred(document: &serde_json::Value, part: &serde_json::Value, names: &mut BTreeSet<String>) {
    for text in part.to_string().split("\"#/components/schemas/").skip(1) {
        let name = text.split('"').next().unwrap_or_default().to_owned();
        let schema = document["components"]["schemas"][name.as_str()].clone();
        if names.insert(name) {
            referred(document, &schema, names);
        }
    }
}

#[test]
fn requests_are_closed_and_answers_are_open() {
    let document: serde_json::Value = serde_json::to_value(api::openapi()).unwrap();
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let items = document["paths"].as_object().unwrap().values();
    for operation in items.flat_map(|item| item.as_object().unwrap().values()) {
        referred(&document, &operation["requestBody"], &mut asked);
        referred(&document, &operation["responses"], &mut answered);
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas.iter().filter(|(_, schema)| schema["type"] == "object") {
        let is_closed = schema["additionalProperties"] == serde_json::json!(false);
        assert_eq!(is_closed, asked.contains(name), "{name}");
    }
    let both: Vec<_> = asked.intersection(&answered).collect();
    assert!(both.is_empty(), "a shape is asked or answered: {both:?}");
}

#[test]
fn every_reference_leads_somewhere() {
    let document: serde_json::Value = serde_json::to_value(api::openapi()).unwrap();
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn the_table_of_problem_codes_is_the_checked_in_one() {
    let mut table = String::new();
    for &code in ProblemCode::ALL {
        let row = code_row(code);
        writeln!(
            table,
            "{:<24} {} exit {}  {}",
            code.as_str(),
            row.status,
            row.exit.code(),
            row.title
        )
        .unwrap();
    }
    assert_is_checked_in("tests/golden/problems.txt", &table);
}
