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
    Ok(Sse::new(messages.map(Ok).boxed()).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
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
