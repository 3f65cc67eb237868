//! What clients send.

use super::*;

#[test]
fn a_request_that_was_good_stays_good() {
    const LIMIT: &str = "GET /things/{thing} query parameter `limit`";
    let with = |limit: Value| {
        let thing =
            json!({ "name": "thing", "in": "path", "required": true, "schema": { "type": "string" } });
        set("GET/parameters", json!([thing, limit]))
    };
    let limit = json!({ "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 500 } });
    let more = |more: Value| {
        let mut parameters = document()["paths"]["/things/{thing}"]["get"]["parameters"].clone();
        parameters.as_array_mut().unwrap().push(more);
        set("GET/parameters", parameters)
    };
    judged(&[
        (
            with(json!({ "name": "size", "in": "query", "schema": { "type": "integer" } })),
            &format!("{LIMIT}: the parameter is gone, and unknown ones are refused"),
            with(limit.clone()),
        ),
        (
            with(json!({ "name": "limit", "in": "query", "required": true, "schema": limit["schema"] })),
            &format!("{LIMIT}: the parameter must be there now"),
            with(json!({ "name": "limit", "in": "query", "required": false, "schema": limit["schema"] })),
        ),
        (
            more(json!({ "name": "sort", "in": "query", "required": true, "schema": { "type": "string" } })),
            "GET /things/{thing} query parameter `sort`: the parameter must be there now",
            more(json!({ "name": "sort", "in": "query", "schema": { "type": "string" } })),
        ),
        (
            with(json!({ "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 100 } })),
            &format!("{LIMIT}: its maximum was 500 and is 100"),
            with(json!({ "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 1000 } })),
        ),
        (
            with(json!({ "name": "limit", "in": "query", "explode": false, "schema": limit["schema"] })),
            &format!("{LIMIT}: the parameter is written in another way"),
            with(
                json!({ "name": "limit", "in": "query", "description": "How many", "schema": limit["schema"] }),
            ),
        ),
        (
            set("GET/requestBody", json!({ "required": true, "content": {} })),
            "GET /things/{thing} request: a body must be there now",
            set("GET/requestBody", json!({ "content": {} })),
        ),
        (
            set("DELETE/requestBody", json!({ "required": true, "content": {} })),
            "DELETE /things/{thing} request: a body must be there now",
            set(
                "DELETE/requestBody",
                json!({ "required": false, "content": { "text/plain": {} } }),
            ),
        ),
        (
            gone("POST/requestBody"),
            "POST /things/{thing} request: no body is taken any more",
            set("POST/description", json!("It changes")),
        ),
        (
            gone("POST/requestBody/content/application~1merge-patch+json"),
            "POST /things/{thing} request application/merge-patch+json: the media type is gone",
            set("POST/requestBody/content/text~1plain", json!({})),
        ),
    ]);
}

const CHANGE: &str = "POST /things/{thing} request application/json";

fn of_change(place: &str, what: &str) -> String {
    format!("{CHANGE}{place}: {what}")
}

#[test]
fn the_fields_of_a_request_only_widen() {
    judged(&[
        (
            set("schemas/Change/required", json!(["name", "kind"])),
            &of_change("/kind", "the field must be there now"),
            set("schemas/Change/required", json!([])),
        ),
        (
            gone("Change/kind"),
            &of_change("/kind", "the field is gone"),
            set("Change/colour", json!({ "type": "string" })),
        ),
        (
            set("Change/free/additionalProperties", json!(false)),
            &of_change("/free", "fields that are not listed are refused now"),
            gone("schemas/Change/additionalProperties"),
        ),
        (
            set("Change/kind/enum", json!(["red"])),
            &of_change("/kind", "these values are not taken any more: \"blue\""),
            set("Change/kind/enum", json!(["red", "blue", "green"])),
        ),
        (
            set("Change/kind/const", json!("red")),
            &of_change("/kind", "these values are not taken any more: \"blue\""),
            gone("Change/kind/enum"),
        ),
        (
            set("Change/name/enum", json!(["web"])),
            &of_change("/name", "its enum was not there and is [\"web\"]"),
            set("Change/name/examples", json!(["web"])),
        ),
        (
            set("Change/size/type", json!("integer")),
            &of_change("/size", "it was null and is integer"),
            set("Change/size/type", json!(["integer", "null", "string"])),
        ),
        (
            set("Change/count/type", json!("string")),
            &of_change("/count", "it was integer and is string"),
            set("Change/count/type", json!("number")),
        ),
        (
            set("Change/labels/additionalProperties/type", json!("integer")),
            &of_change("/labels/{}", "it was string and is integer"),
            set("Change/labels/additionalProperties", json!(true)),
        ),
        (
            set("Change/labels/propertyNames", json!({ "maxLength": 63 })),
            &of_change("/labels/{name}", "its maxLength was not there and is 63"),
            set("Change/labels/propertyNames", json!({})),
        ),
        (
            set("Change/keys/items", json!({ "$ref": "#/components/schemas/Key" })),
            &of_change("/keys/[]", "the reference #/components/schemas/Key leads nowhere"),
            set("Change/keys/items", json!({ "type": ["string", "null"] })),
        ),
        (
            set("Change/free/dependentRequired", json!({ "a": ["b"] })),
            &of_change(
                "/free",
                "`dependentRequired` is another, and this judge cannot say whether that matters",
            ),
            set("Change/free/x-note", json!("unjudged")),
        ),
    ]);
}

#[test]
fn the_limits_of_a_request_only_widen() {
    let limit = |place, keyword, old, new| of_change(place, &format!("its {keyword} was {old} and is {new}"));
    judged(&[
        (
            set("Change/name/minLength", json!(2)),
            &limit("/name", "minLength", "1", "2"),
            gone("Change/name/minLength"),
        ),
        (
            set("Change/name/maxLength", json!(32)),
            &limit("/name", "maxLength", "63", "32"),
            set("Change/name/maxLength", json!(64)),
        ),
        (
            set("Change/name/pattern", json!("^[a-z]+$")),
            &limit("/name", "pattern", "not there", "\"^[a-z]+$\""),
            set("Change/name/title", json!("Name")),
        ),
        (
            set("Change/name/format", json!("hostname")),
            &limit("/name", "format", "not there", "\"hostname\""),
            gone("Change/count/format"),
        ),
        (
            set("Change/count/format", json!("int32")),
            &limit("/count", "format", "\"int64\"", "\"int32\""),
            gone("Change/count/format"),
        ),
        (
            set("Change/size/minimum", json!(2)),
            &limit("/size", "minimum", "1", "2"),
            set("Change/size/minimum", json!(0)),
        ),
        (
            set("Change/size/maximum", json!(32)),
            &limit("/size", "maximum", "64", "32"),
            gone("Change/size/maximum"),
        ),
        (
            set("Change/size/exclusiveMaximum", json!(64)),
            &limit("/size", "exclusiveMaximum", "not there", "64"),
            gone("Change/size/multipleOf"),
        ),
        (
            set("Change/size/multipleOf", json!(2)),
            &limit("/size", "multipleOf", "1", "2"),
            gone("Change/size/multipleOf"),
        ),
        (
            set("Change/keys/minItems", json!(2)),
            &limit("/keys", "minItems", "1", "2"),
            set("Change/keys/minItems", json!(0)),
        ),
        (
            set("Change/keys/maxItems", json!(4)),
            &limit("/keys", "maxItems", "8", "4"),
            set("Change/keys/maxItems", json!(64)),
        ),
        (
            set("Change/keys/uniqueItems", json!(true)),
            &limit("/keys", "uniqueItems", "not there", "true"),
            set("Change/keys/uniqueItems", json!(false)),
        ),
        (
            set("Change/labels/maxProperties", json!(16)),
            &limit("/labels", "maxProperties", "not there", "16"),
            set("Change/labels/minProperties", json!(0)),
        ),
    ]);
}

/// What each of two documents says of a field that has these forms.
fn said_of_forms(old: Value, new: Value) -> Vec<String> {
    said(
        &edited(&set("Change/free", old)),
        &edited(&set("Change/free", new)),
    )
}

#[test]
fn what_a_choice_or_a_member_covers_is_not_overlooked() {
    let short = |most: u32| json!({ "properties": { "a": { "type": "string", "maxLength": most } } });
    for keyword in ["oneOf", "anyOf", "allOf"] {
        let beside = |most: u32, inner: &[Value]| {
            let mut form = short(most);
            form["type"] = json!("object");
            form[keyword] = json!(inner);
            form
        };
        let narrowed = said_of_forms(beside(9, &[short(20)]), beside(3, &[short(20)]));
        assert!(!narrowed.is_empty(), "{keyword}: the part beside it");
        assert_eq!(
            said_of_forms(beside(9, &[short(20)]), beside(9, &[short(20)])),
            Vec::<String>::new(),
            "{keyword}: nothing is another"
        );
        let other = json!({ "properties": { "b": { "type": "string" } } });
        assert_eq!(
            said_of_forms(
                beside(9, std::slice::from_ref(&other)),
                beside(20, std::slice::from_ref(&other))
            ),
            Vec::<String>::new(),
            "{keyword}: what does not contradict is widened"
        );
    }
    let members = |first: u32| json!({ "type": "object", "allOf": [short(first), short(20)] });
    assert!(
        !said_of_forms(members(9), members(3)).is_empty(),
        "the first of two members"
    );
}

#[test]
fn a_path_item_has_parameters_too() {
    let item = |parameters: Value| set("paths/~1things~1{thing}/parameters", parameters);
    let sort = |required: bool| json!([{ "name": "sort", "in": "query", "required": required }]);
    judged(&[(
        item(sort(true)),
        "GET /things/{thing} query parameter `sort`: the parameter must be there now",
        item(sort(false)),
    )]);
    let mut moved = document();
    let operations = &mut moved["paths"]["/things/{thing}"];
    let parameters = operations["get"]["parameters"].take();
    operations["parameters"] = parameters;
    let gone = |said: &String| said.contains("gone") || said.starts_with("GET");
    assert!(
        !said(&document(), &moved).iter().any(gone),
        "those that moved there are not gone"
    );
}
