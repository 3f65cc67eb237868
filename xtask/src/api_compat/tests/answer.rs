//! What clients read.

use super::*;

const THING: &str = "GET /things/{thing} 200 application/json";

fn of_thing(place: &str, what: &str) -> String {
    format!("{THING}{place}: {what}")
}

#[test]
fn an_answer_keeps_what_clients_read_of_it() {
    let see = "GET/responses/404/x-problem-codes";
    judged(&[
        (
            gone("GET/responses/404"),
            "GET /things/{thing} 404: the status is gone",
            set("GET/responses/410", json!({})),
        ),
        (
            set(see, json!(["not_found", "vanished"])),
            "GET /things/{thing} 404: the problem code `gone` is gone",
            set(see, json!(["not_found", "gone", "vanished"])),
        ),
        (
            gone("GET/responses/200/headers/ETag"),
            "GET /things/{thing} 200 ETag: the header is gone",
            set("GET/responses/200/headers/Location", json!({})),
        ),
        (
            gone("GET/responses/200/content/application~1json"),
            "GET /things/{thing} 200 application/json: the media type is gone",
            set("GET/responses/200/content/text~1plain", json!({})),
        ),
        (
            gone("Thing/properties/note"),
            &of_thing("/note", "the field is gone"),
            set("Thing/properties/more", json!({ "type": "string" })),
        ),
        (
            gone("Thing/properties/id"),
            &of_thing("/id", "the field is gone"),
            set("Thing/additionalProperties", json!(true)),
        ),
        (
            set("Thing/required", json!(["id"])),
            &of_thing("/size", "the field need not be there any more"),
            set("Thing/required", json!(["id", "size", "note"])),
        ),
        (
            gone("schemas/Reason/properties/code"),
            &of_thing("/reason/code", "the field is gone"),
            set("schemas/Reason/properties/hint", json!({})),
        ),
    ]);
}

#[test]
fn the_values_of_an_answer_only_narrow() {
    let choice = json!({ "$ref": "#/components/schemas/Reason" });
    judged(&[
        (
            set(
                "Thing/properties/kind",
                json!({ "enum": ["red", "blue", "green"] }),
            ),
            &of_thing("/kind", "these values may come now: \"green\""),
            set("Thing/properties/kind", json!({ "enum": ["red"] })),
        ),
        (
            gone("Thing/properties/kind/enum"),
            &of_thing("/kind", "its enum was [\"red\",\"blue\"] and is not there"),
            set("Thing/properties/kind/const", json!("red")),
        ),
        (
            set("Thing/properties/id/type", json!(["string", "null"])),
            &of_thing("/id", "it was string and is null"),
            set("Thing/properties/id/minLength", json!(1)),
        ),
        (
            set("Thing/properties/size/type", json!("number")),
            &of_thing("/size", "it was integer and is number"),
            set("Thing/properties/size/maximum", json!(9)),
        ),
        (
            set("Thing/properties/size/minimum", json!(-1)),
            &of_thing("/size", "its minimum was 0 and is -1"),
            set("Thing/properties/size/minimum", json!(1)),
        ),
        (
            gone("Thing/properties/id/maxLength"),
            &of_thing("/id", "its maxLength was 36 and is not there"),
            set("Thing/properties/id/maxLength", json!(30)),
        ),
        (
            gone("Thing/properties/id/format"),
            &of_thing("/id", "its format was \"uuid\" and is not there"),
            set("Thing/properties/note/format", json!("date-time")),
        ),
        (
            set(
                "Thing/properties/reason",
                json!({ "oneOf": [choice, { "type": "string" }] }),
            ),
            &of_thing("/reason", "it was object and is string"),
            set("Thing/properties/reason", choice.clone()),
        ),
    ]);
}
