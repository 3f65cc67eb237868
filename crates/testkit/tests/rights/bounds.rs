//! Each bound that the OpenAPI document sets on a request's body, broken alone in a body that is good otherwise: what
//! breaks it must be refused at its place, or clients that are made from the document meet another API than it tells of.

use api::endpoints;
use serde_json::{Map, Value, json};

use crate::document::{DOCUMENT, followed};
use crate::rows::Body;
use crate::world::{Answer, World};

/// A value that breaks one bound, and where it stands in the body.
struct Breach {
    pointer: String,
    /// What the object must have in which it stands.
    around: Value,
    bound: &'static str,
    value: Value,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_forbids_is_refused_at_its_place() {
    let world = World::open().await;
    let (mut faults, mut tried) = (Vec::new(), 0);
    for endpoint in endpoints() {
        let row = crate::row(endpoint);
        let thing = world.make(row.thing).await;
        let method = endpoint.method.as_str().to_lowercase();
        let body = &DOCUMENT["paths"][endpoint.path][method]["requestBody"];
        for breach in breaches(&world, &body["content"]["application/json"]["schema"], "") {
            let mut body = match row.body {
                Body::Json(good) => good(&world),
                Body::Code => world.code().await,
                Body::Nothing | Body::Tar | Body::WebSocket => Value::Null,
            };
            put(&mut body, &breach);
            let answer = world.send(row.rightful, endpoint, row, &thing, &body).await;
            tried += 1;
            let pointer = answer.body["pointer"].as_str().unwrap_or_default();
            let is_refused = match answer.status {
                // Whom a name means is looked for first: an empty one means nobody.
                404 => breach.bound == "minLength",
                // A code that is wrong is told nothing of why it is.
                401 => breach.pointer == "/code",
                400 | 422 => breach.pointer == pointer || breach.pointer == format!("{pointer}/0"),
                _ => false,
            };
            if !is_refused {
                let (Breach { pointer, bound, .. }, Answer { status, body, .. }) = (breach, answer);
                faults.push(format!("{} {pointer} {bound}: {status} {body}", row.operation));
            }
        }
    }
    assert!(tried > 40, "only {tried} bounds were broken");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One for each bound of this schema and of those within.
fn breaches(world: &World, schema: &'static Value, place: &str) -> Vec<Breach> {
    let schema = followed(schema);
    let mut found: Vec<_> = BOUNDS
        .iter()
        .filter(|(bound, _)| schema[bound].is_number() || schema[bound].is_string())
        .map(|&(bound, broken)| Breach {
            pointer: place.to_owned(),
            around: Value::Null,
            bound,
            value: broken(world, schema),
        })
        .collect();
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        found.extend(breaches(world, choice, place));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        let within = breaches(world, inner, &place).into_iter();
        found.extend(within.map(|breach| match breach.pointer == place {
            true => Breach {
                around: least(schema),
                ..breach
            },
            false => breach,
        }));
    }
    if schema["items"].is_object() {
        found.extend(breaches(world, &schema["items"], &format!("{place}/0")));
    }
    found
}

/// An object with what it must have and nothing else, as in the examples of the document.
fn least(schema: &'static Value) -> Value {
    let names = schema["required"].as_array().into_iter().flatten();
    let of = |name: &'static Value| {
        let property = &schema["properties"][name.as_str().unwrap()];
        // What is a secret has no example; any text will do.
        let example = property.get("example").cloned().unwrap_or_else(|| json!("a"));
        (name.as_str().unwrap().to_owned(), example)
    };
    names.map(of).collect::<Map<_, _>>().into()
}

type Broken = fn(&World, &'static Value) -> Value;

/// The bounds of JSON Schema (validation, sections 6.2 to 6.4) that the document uses, and what breaks each.
const BOUNDS: [(&str, Broken); 7] = [
    ("minimum", |_, schema| json!(whole(&schema["minimum"]) - 1)),
    ("maximum", |_, schema| json!(whole(&schema["maximum"]) + 1)),
    ("minLength", |_, schema| {
        json!("a".repeat(length(&schema["minLength"]) - 1))
    }),
    ("maxLength", |_, schema| {
        json!("a".repeat(length(&schema["maxLength"]) + 1))
    }),
    ("minItems", |_, _| json!([])),
    ("maxItems", |world, schema| {
        let items = 0..=length(&schema["maxItems"]);
        items.map(|_| item(world, &schema["items"])).collect()
    }),
    ("pattern", |_, _| json!("\u{7}:")),
];

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn length(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// An item that is good by itself; of keys each is another.
fn item(world: &World, schema: &'static Value) -> Value {
    match followed(schema)["pattern"].is_string() {
        true => json!(world.key()),
        false => json!("a"),
    }
}

/// Puts it in its place.
fn put(body: &mut Value, breach: &Breach) {
    let (around, last) = breach.pointer.rsplit_once('/').unwrap();
    let mut place = body;
    for name in around.split('/').skip(1) {
        place = &mut place[name];
    }
    if place.is_null() {
        *place = breach.around.clone();
    }
    match last.parse::<usize>() {
        Ok(_) => *place = json!([breach.value]),
        Err(_) => place[last] = breach.value.clone(),
    }
}
