//! The rights walk: each operation of the API is called by whom it is for, which must succeed, and then on the same thing
//! by everybody it is not for, which must be refused in the one way that tells them nothing.
//!
//! ```text
//!   api::endpoints ─► row of the table ─► thing made for it ─► rightful: 2xx
//!                                                  └─► nobody, stranger, …: as `expected` says, or a checked-in exception
//! ```
//!
//! An operation without a row fails, so a new one is covered on the day it is born.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bounds;
mod document;
mod exceptions;
mod rows;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use api::{Access, Endpoint, endpoints};
use model::Scope;
use serde_json::Value;

use crate::exceptions::Exceptions;
use crate::rows::{ROWS, Row, Thing};
use crate::world::{Answer, Persona, RIGHTFUL, World};

fn find(endpoint: &Endpoint) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.operation == endpoint.operation_id)
}

fn row(endpoint: &Endpoint) -> &'static Row {
    find(endpoint).unwrap_or_else(|| panic!("{} has no row", endpoint.operation_id))
}

/// What somebody who may not do this is answered: HTTP status and problem code.
fn expected(endpoint: &Endpoint, persona: Persona) -> (u16, &'static str) {
    let is_for_admins = endpoint.access == Access::Scope(Scope::Admin);
    match persona {
        Persona::Nobody => (401, "unauthenticated"),
        Persona::Stranger if is_for_admins => (403, "admin_only"),
        Persona::Stranger => (404, "not_found"),
        Persona::Disabled => (403, "user_disabled"),
        Persona::Expired => (401, "token_expired"),
        Persona::SmallScope => (403, "insufficient_scope"),
        Persona::Rightful | Persona::Admin => {
            panic!("{persona:?} is refused nothing of {}", endpoint.operation_id)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_for_whom_it_is_for_and_nobody_else() {
    let world = World::open().await;
    let mut exceptions = Exceptions::read();
    let (mut faults, mut times) = (Vec::new(), 0);
    for endpoint in endpoints() {
        let Some(row) = find(endpoint) else {
            let name = endpoint.operation_id;
            faults.push(format!(
                "{name} has no row in rights/rows.rs: say how it is called well"
            ));
            continue;
        };
        let thing = world.make(row.thing).await;
        let good = world.call(row.rightful, endpoint, row, &thing).await;
        let (untold, looked_at) = document::faults(endpoint, &good);
        faults.extend(untold);
        times += looked_at;
        if !is_good(&good) {
            faults.push(format!("{} by whom it is for: {good:?}", row.operation));
            continue;
        }
        let thing = match row.ends_it {
            true => world.make(row.thing).await,
            false => thing,
        };
        for &persona in Persona::REFUSED {
            let answer = world.call(persona, endpoint, row, &thing).await;
            faults.extend(document::faults(endpoint, &answer).0);
            let is_open = endpoint.access == Access::Open;
            let wanted = exceptions.take(row.operation, persona);
            let wanted = match is_open {
                true => None,
                false => Some(wanted.unwrap_or_else(|| expected(endpoint, persona).into())),
            };
            if wanted
                .as_ref()
                .map_or(!is_good(&answer), |wanted| !wanted.is(&answer))
            {
                faults.push(format!(
                    "{} by {persona:?} is not {wanted:?}: {answer:?}",
                    row.operation
                ));
            }
        }
    }
    faults.extend(exceptions.left());
    assert!(times > 10, "only {times} times were looked at");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A path that becomes a WebSocket answers 101.
fn is_good(answer: &Answer) -> bool {
    answer.status == 101 || (200..300).contains(&answer.status)
}

/// To whoever may not see it, a thing that is there looks like one that is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreign_looks_like_what_is_absent() {
    let world = World::open().await;
    let mut faults = Vec::new();
    for endpoint in endpoints().filter(|endpoint| endpoint.access != Access::Open) {
        let Some(row) = find(endpoint).filter(|row| row.thing != Thing::Nothing) else {
            continue;
        };
        let (there, absent) = (world.make(row.thing).await, world.absent(row.thing));
        let mut pairs = vec![(there.clone(), absent.clone())];
        if matches!(row.thing, Thing::Vm | Thing::Exec | Thing::Share) {
            // The same by names, of an owner who is there.
            let name = world.full_name(&there[0]).await;
            let named = |name: String, rest: &[String]| [&[name], &rest[1..]].concat();
            pairs.push((named(name, &there), named(format!("nowhere.{RIGHTFUL}"), &absent)));
        }
        for (there, absent) in pairs {
            let foreign = world.call(Persona::Stranger, endpoint, row, &there).await;
            let missing = world.call(Persona::Stranger, endpoint, row, &absent).await;
            let (foreign, missing) = (without_names(foreign, &there), without_names(missing, &absent));
            if foreign != missing {
                faults.push(format!("{}: {foreign:?} is not {missing:?}", row.operation));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The answer without the request's id and the names that were sent, and without what depends on the moment and on the
/// length of those names.
fn without_names(answer: Answer, sent: &[String]) -> (u16, BTreeMap<String, String>, Value) {
    let Answer {
        status,
        mut headers,
        body,
    } = answer;
    for name in ["date", "x-request-id", "content-length"] {
        headers.remove(name);
    }
    let without = |text: &str| {
        let text = text.to_owned();
        sent.iter()
            .fold(text, |text, name| text.replace(name.as_str(), "…"))
    };
    headers.values_mut().for_each(|value| *value = without(value));
    let mut body: Value = serde_json::from_str(&without(&body.to_string())).unwrap();
    body["request_id"] = Value::Null;
    (status, headers, body)
}

#[test]
fn each_row_is_of_an_operation() {
    let known: BTreeSet<_> = endpoints().map(|endpoint| endpoint.operation_id).collect();
    let rows: Vec<_> = ROWS.iter().map(|row| row.operation).collect();
    let twice = rows.len() - rows.iter().collect::<BTreeSet<_>>().len();
    let stale: Vec<_> = rows.into_iter().filter(|row| !known.contains(row)).collect();
    assert_eq!((stale, twice), (Vec::<&str>::new(), 0));
}
