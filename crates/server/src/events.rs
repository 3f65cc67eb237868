//! `/v1/events` and `/v1/vms/{vm}/events`, as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Sse;
use axum::response::sse::{Event as Message, KeepAlive, KeepAliveStream};
use control::{Caller, Control, Event, EventKind, Operation, Since};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::HeaderMap;

use crate::auth::Signed;
use crate::flows::{Flow, Flows};
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::router::{Closing, closed};
use crate::vms::{reason, stage};

/// Well below the idle limits of proxies, commonly 60 s.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

type Messages = Sse<KeepAliveStream<BoxStream<'static, Result<Message, Infallible>>>>;

pub(crate) async fn of_vm(
    State(control): State<Control>,
    State(closing): State<Closing>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    headers: HeaderMap,
) -> Result<Messages, Refusal> {
    let open = flows.open(caller.user)?;
    follow((control, closing), (caller, open), Some(vm), &headers).await
}

pub(crate) async fn of_all(
    State(control): State<Control>,
    State(closing): State<Closing>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Asked(query): Asked<api::EventQuery>,
    headers: HeaderMap,
) -> Result<Messages, Refusal> {
    let open = flows.open(caller.user)?;
    follow((control, closing), (caller, open), query.vm, &headers).await
}

/// The events of a VM begin with its first, those of all with the next that happens; with an id, behind that.
async fn follow(
    (control, closing): (Control, Closing),
    (caller, open): (Caller, Flow),
    vm: Option<String>,
    headers: &HeaderMap,
) -> Result<Messages, Refusal> {
    let selector = vm.map(|vm| vm.parse()).transpose()?;
    let since = match (headers.get("last-event-id"), &selector) {
        // What is no text is no id that was ever given.
        (Some(id), _) => Since::Id(id.to_str().unwrap_or_default()),
        (None, Some(_)) => Since::First,
        (None, None) => Since::Now,
    };
    let events = control.events(&caller, selector.as_ref(), since).await?;
    let (vm, operation) = match events.vm() {
        Some(vm) => (Some(vm), Operation::VmEvents),
        None => (None, Operation::EventList),
    };
    let reset = events
        .is_reset()
        .then(|| Message::default().event("reset").data("{}"));
    let messages = stream::iter(reset).chain(events.into_stream().filter_map(|told| ready(message(told))));
    let withdrawn = async move {
        let _open = open;
        control.right_withdrawn(&caller, vm, operation).await
    };
    let messages = messages.take_until(closed(closing)).take_until(withdrawn);
    Ok(kept_alive(messages.boxed()))
}

/// The messages, with a comment whenever there is none for a while.
fn kept_alive(messages: BoxStream<'static, Message>) -> Messages {
    Sse::new(messages.map(Ok).boxed()).keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
}

fn message(told: Result<(Option<String>, Arc<Event>), control::Error>) -> Option<Message> {
    let (id, event) = match told {
        Ok(told) => told,
        Err(error) => {
            // The stream ends here; the client comes back and goes on where it was.
            tracing::error!(error = %error, "events cannot be read");
            return None;
        }
    };
    let message = id.map_or_else(Message::default, |id| Message::default().id(id));
    message.event(event.what.as_str()).json_data(shape(&event)).ok()
}

fn shape(event: &Event) -> api::Event {
    let mut shape = api::Event {
        kind: event.what.as_str().to_owned(),
        at: event.at.to_string(),
        vm: event.vm,
        generation: event.generation,
        status: None,
        reason: None,
        stage: None,
        ending: None,
        seconds: None,
    };
    match &event.what {
        EventKind::Created { .. } | EventKind::Adopted { .. } | EventKind::Changed | EventKind::Deleted => {}
        EventKind::Status { status, reason: why } => {
            shape.status = Some((*status).into());
            shape.reason = why.clone().map(reason);
        }
        EventKind::Ending { ending, seconds } => {
            shape.ending = Some(ending.as_str().to_owned());
            shape.seconds = Some(*seconds);
        }
        EventKind::Progress { stage: now } => shape.stage = Some(stage(now.clone())),
    }
    shape
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use axum::response::IntoResponse;
    use control::Ending;
    use model::{Reason, ReasonCode, Stage, Status, VmId};
    use tokio::time::Instant;

    use super::*;

    /// One of each type, with all that it can carry.
    fn one_of_each() -> Vec<EventKind> {
        let reason = Reason::lasting(ReasonCode::ImageNotFound, "no such image", "check its name");
        let stage = Stage {
            what: "pulling".into(),
            done: 1,
            total: 2,
        };
        let all = vec![
            EventKind::Created {
                name: "web".parse().unwrap(),
            },
            EventKind::Adopted {
                name: "web".parse().unwrap(),
                host: model::HostId::from_random([1; 16]),
            },
            EventKind::Changed,
            EventKind::Status {
                status: Status::Error,
                reason: Some(reason),
            },
            EventKind::Ending {
                ending: Ending::Idle,
                seconds: 60,
            },
            EventKind::Deleted,
            EventKind::Progress { stage },
        ];
        // Whoever adds a type is told here to add one of it above.
        for kind in &all {
            match kind {
                EventKind::Created { .. }
                | EventKind::Adopted { .. }
                | EventKind::Changed
                | EventKind::Status { .. }
                | EventKind::Ending { .. }
                | EventKind::Deleted
                | EventKind::Progress { .. } => {}
            }
        }
        all
    }

    /// The fields that an event carries besides those of every event.
    fn fields(what: &EventKind) -> BTreeSet<String> {
        let event = Event {
            sequence: None,
            at: "1970-01-01T00:00:00Z".parse().unwrap(),
            vm: VmId::from_random([1; 16]),
            generation: 1,
            what: what.clone(),
        };
        let shape = serde_json::to_value(shape(&event)).unwrap();
        let names = shape.as_object().unwrap().keys();
        names
            .filter(|name| !["type", "at", "vm", "generation"].contains(&name.as_str()))
            .cloned()
            .collect()
    }

    #[test]
    fn the_page_about_events_lists_every_type_and_what_it_carries() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page
            .split_once("| type | carries | when |\n| --- | --- | --- |\n")
            .unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let listed: Vec<(String, BTreeSet<String>)> = rows
            .map(|row| {
                let cells: Vec<_> = row.split('|').collect();
                let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
                let kind: Vec<String> = words(cells[1]);
                (kind.concat(), words(cells[2]).into_iter().collect())
            })
            .collect();
        let known: Vec<_> = one_of_each()
            .iter()
            .map(|what| (what.as_str().to_owned(), fields(what)))
            .collect();
        assert_eq!(listed, known);
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_comes_every_15_s_where_nothing_happens() {
        let answer = kept_alive(stream::pending().boxed()).into_response();
        let mut body = answer.into_body().into_data_stream();
        let since = Instant::now();
        for count in 1..=2 {
            let frame = body.next().await.unwrap().unwrap();
            assert!(frame.starts_with(b":"), "{frame:?}");
            assert_eq!(since.elapsed().as_secs(), 15 * count);
        }
    }
}
