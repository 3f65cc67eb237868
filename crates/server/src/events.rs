//! `/v1/vms/{vm}/events`, as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Sse;
use axum::response::sse::{Event as Message, KeepAlive};
use control::{Control, Event, EventKind};
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;

use crate::auth::Signed;
use crate::refusal::Refusal;
use crate::router::{Closing, closed};
use crate::vms::{reason, stage};

/// Well below the idle limits of proxies, commonly 60 s.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

pub(crate) async fn of_vm(
    State(control): State<Control>,
    State(closing): State<Closing>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Refusal> {
    let start = Start::of(&headers);
    let events = control
        .vm_events(&caller, Some(&vm.parse()?), start.after())
        .await?;
    let messages = start
        .first()
        .chain(events.into_stream().filter_map(|event| ready(message(event))));
    let messages = messages.take_until(closed(closing)).map(Ok);
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
}

/// Where a client wants to go on.
enum Start {
    First,
    After(u64),
    /// An id that was never given: the client must look at everything anew.
    Lost,
}

impl Start {
    fn of(headers: &HeaderMap) -> Self {
        match headers
            .get("last-event-id")
            .map(|id| id.to_str().unwrap_or_default().parse())
        {
            None => Self::First,
            Some(Ok(id)) => Self::After(id),
            Some(Err(_)) => Self::Lost,
        }
    }

    const fn after(&self) -> Option<u64> {
        match self {
            Self::First => Some(0),
            Self::After(id) => Some(*id),
            Self::Lost => None,
        }
    }

    fn first(&self) -> impl Stream<Item = Message> + use<> {
        let reset = matches!(self, Self::Lost).then(|| Message::default().event("reset").data("{}"));
        stream::iter(reset)
    }
}

fn message(event: Result<Event, control::Error>) -> Option<Message> {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            // The stream ends here; the client comes back and goes on where it was.
            tracing::error!(error = %error, "events cannot be read");
            return None;
        }
    };
    let message = match event.sequence {
        Some(sequence) => Message::default().id(sequence.to_string()),
        None => Message::default(),
    };
    message.event(event.what.as_str()).json_data(shape(event)).ok()
}

fn shape(event: Event) -> api::Event {
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
    match event.what {
        EventKind::Created { .. } | EventKind::Adopted { .. } | EventKind::Changed | EventKind::Deleted => {}
        EventKind::Status { status, reason: why } => {
            shape.status = Some(status.into());
            shape.reason = why.map(reason);
        }
        EventKind::Ending { ending, seconds } => {
            shape.ending = Some(ending.as_str().to_owned());
            shape.seconds = Some(seconds);
        }
        EventKind::Progress { stage: now } => shape.stage = Some(stage(now)),
    }
    shape
}
