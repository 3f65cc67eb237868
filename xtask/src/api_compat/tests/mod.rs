//! Each way to break a client, planted into a small document, beside a twin that is as near to it as possible and
//! breaks nobody.

mod answer;
mod request;

use serde_json::{Value, json};

use super::*;

/// A document with one of everything that the judge looks at.
fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": { "/things/{thing}": {
            "get": {
                "operationId": "thing_get",
                "security": [{}],
                "parameters": [
                    { "name": "thing", "in": "path", "required": true, "schema": { "type": "string" } },
                    { "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 500 } }
                ],
                "responses": {
                    "200": { "headers": { "ETag": {} }, "content": {
                        "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
                    "404": { "x-problem-codes": ["not_found", "gone"] }
                }
            },
            "post": {
                "operationId": "thing_change",
                "security": [{ "token": ["write"] }],
                "requestBody": { "required": true, "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/Change" } },
                    "application/merge-patch+json": { "schema": { "$ref": "#/components/schemas/Change" } } } },
                "responses": { "204": {} }
            },
            "delete": { "operationId": "thing_delete", "requestBody": { "content": {} }, "responses": { "204": {} } }
        } },
        "components": { "schemas": {
            "Thing": {
                "type": "object",
                "required": ["id", "size"],
                "properties": {
                    "id": { "type": "string", "format": "uuid", "maxLength": 36 },
                    "size": { "type": "integer", "minimum": 0 },
                    "kind": { "enum": ["red", "blue"] },
                    "note": { "type": "string" },
                    "reason": { "oneOf": [{ "$ref": "#/components/schemas/Reason" }, { "type": "null" }] },
                    "parts": { "type": "array", "items": { "$ref": "#/components/schemas/Thing" } }
                }
            },
            "Reason": { "type": "object", "required": ["code"], "properties": { "code": { "type": "string" } } },
            "Change": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": { "type": "string", "minLength": 1, "maxLength": 63 },
                    "size": { "type": ["integer", "null"], "minimum": 1, "maximum": 64, "multipleOf": 1 },
                    "count": { "type": "integer", "format": "int64" },
                    "kind": { "type": "string", "enum": ["red", "blue"] },
                    "keys": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 8 },
                    "labels": { "type": "object", "additionalProperties": { "type": "string", "maxLength": 9 } },
                    "free": { "type": "object" }
                }
            }
        } }
    })
}

/// A change of a document: what stands at a pointer from now on, or nothing. `GET`, `POST` and `schemas` abbreviate
/// the beginnings that all of them have.
type Edit = (&'static str, Option<Value>);

fn set(pointer: &'static str, value: Value) -> Edit {
    (pointer, Some(value))
}

fn gone(pointer: &'static str) -> Edit {
    (pointer, None)
}

fn whole(pointer: &str) -> String {
    let (start, rest) = pointer.split_once('/').unwrap();
    let start = match start {
        "GET" => "/paths/~1things~1{thing}/get",
        "POST" => "/paths/~1things~1{thing}/post",
        "DELETE" => "/paths/~1things~1{thing}/delete",
        "JSON" => "/paths/~1things~1{thing}/post/requestBody/content/application~1json",
        "paths" => "/paths",
        "Thing" => "/components/schemas/Thing",
        "Change" => "/components/schemas/Change/properties",
        "schemas" => "/components/schemas",
        _ => panic!("{pointer}"),
    };
    format!("{start}/{rest}")
}

fn edited(edit: &Edit) -> Value {
    let mut document = document();
    let (pointer, value) = edit;
    let pointer = whole(pointer);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(key, value.clone())),
        None => drop(parent.remove(&key).unwrap()),
    }
    document
}

fn said(old: &Value, new: &Value) -> Vec<String> {
    let breakages = operation::breakages(old, new);
    breakages.iter().map(ToString::to_string).collect()
}

/// Each row: what is planted, what the judge says of it, and a twin that it lets pass.
#[track_caller]
fn judged(rows: &[(Edit, &str, Edit)]) {
    for (planted, sentence, twin) in rows {
        let found = said(&document(), &edited(planted));
        assert!(
            found.iter().any(|said| said == sentence) && found.iter().all(|said| is_near(said, sentence)),
            "{}: {found:#?} is not {sentence}",
            planted.0
        );
        assert_eq!(
            said(&document(), &edited(twin)),
            Vec::<String>::new(),
            "the twin of {}",
            planted.0
        );
    }
}

/// A shape that stands in several places is told of in each; all of them say the same.
fn is_near(said: &str, sentence: &str) -> bool {
    let what = |text: &str| text.split_once(": ").map(|(_, what)| what.to_owned());
    what(said) == what(sentence)
}

#[test]
fn the_same_document_breaks_nobody() {
    assert_eq!(said(&document(), &document()), Vec::<String>::new());
}

#[test]
fn an_operation_stays_with_its_name_and_its_callers() {
    judged(&[
        (
            gone("paths/~1things~1{thing}"),
            "GET /things/{thing}: the operation is gone",
            set(
                "paths/~1others",
                json!({ "get": { "operationId": "other_get", "responses": {} } }),
            ),
        ),
        (
            gone("paths/~1things~1{thing}/get"),
            "GET /things/{thing}: the operation is gone",
            set(
                "paths/~1things~1{thing}/put",
                json!({ "operationId": "thing_put", "responses": {} }),
            ),
        ),
        (
            set("GET/operationId", json!("thing_fetch")),
            "GET /things/{thing}: its operationId was `thing_get` and is `thing_fetch`",
            set("GET/summary", json!("Look at a thing")),
        ),
        (
            set("GET/security", json!([{ "token": [] }])),
            "GET /things/{thing}: who could call it cannot any more",
            set("GET/security", json!([{ "token": [] }, {}])),
        ),
        (
            set("POST/security", json!([{ "token": ["write", "admin"] }])),
            "POST /things/{thing}: who could call it cannot any more",
            set("POST/security", json!([{ "token": [] }])),
        ),
    ]);
}

#[test]
fn a_schema_is_the_same_however_it_is_put_together() {
    let together = json!({ "type": ["object", "null"], "required": ["code"], "properties": { "code": { "type": "string" } } });
    let apart = json!({ "anyOf": [
        { "allOf": [{ "type": "object" }, { "required": ["code"] }, { "properties": { "code": { "type": "string" } } }] },
        { "type": "null" }
    ] });
    for form in [together, apart] {
        let new = edited(&set("Thing/properties/reason", form));
        assert_eq!(said(&document(), &new), Vec::<String>::new());
        assert_eq!(said(&new, &document()), Vec::<String>::new());
    }
}

/// What CI holds: nobody who was written for the released document is broken by today's.
#[test]
fn the_released_api_goes_on() {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/api");
    let args = Args {
        old: api.join("released/v1.json"),
        new: api.join("openapi.json"),
    };
    if let Err(error) = run(&args) {
        panic!("{error}");
    }
}
