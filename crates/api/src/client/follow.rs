//! Following events over connections that break.
//!
//! ```text
//!   connect ─► read ─► read ─► broken ─► wait ─► connect with Last-Event-ID ─► read …
//! ```
//!
//! A refusal of the server (such as 404, the VM is gone) ends the flow; so does a server that stays away.

use std::pin::Pin;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt, stream};
use http::header::ACCEPT;

use super::{Client, ClientError};
use crate::{Endpoint, Event};

/// Silence after which a connection counts as broken: three of the server's 15 s comments are missing.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// The first wait before a connection is made again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How often in a row a connection is tried again: about 12 s in all, a restart of the server.
const ATTEMPTS: u32 = 6;

/// Where an event stands in the order of all, as the server names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId(String);

impl EventId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its id; progress has none.
    pub id: Option<EventId>,
    /// What happened.
    pub event: Event,
}

type Messages = Pin<Box<dyn Stream<Item = Option<eventsource_stream::Event>> + Send>>;

struct Follow {
    client: Client,
    endpoint: &'static Endpoint,
    vm: Option<String>,
    last: Option<EventId>,
    messages: Option<Messages>,
    failures: u32,
    ended: bool,
}

pub(super) fn follow(
    client: Client,
    endpoint: &'static Endpoint,
    vm: Option<String>,
    after: Option<EventId>,
) -> impl Stream<Item = Result<Received, ClientError>> + Send {
    let start = Follow {
        client,
        endpoint,
        vm,
        last: after,
        messages: None,
        failures: 0,
        ended: false,
    };
    stream::unfold(start, |mut follow| async move {
        if follow.ended {
            return None;
        }
        let item = follow.next().await;
        follow.ended = item.is_err();
        Some((item, follow))
    })
}

impl Follow {
    async fn next(&mut self) -> Result<Received, ClientError> {
        loop {
            let Some(messages) = &mut self.messages else {
                self.messages = self.connect().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE_LIMIT, messages.next()).await {
                Ok(Some(Some(message))) => {
                    self.failures = 0;
                    if let Some(received) = self.receive(message)? {
                        return Ok(received);
                    }
                }
                Ok(Some(None) | None) | Err(_) => {
                    self.messages = None;
                    self.pause().await?;
                }
            }
        }
    }

    /// A connection; `None` when it is to be tried again.
    async fn connect(&mut self) -> Result<Option<Messages>, ClientError> {
        let vm: Vec<_> = self.vm.iter().map(String::as_str).collect();
        let mut request = self.client.request(self.endpoint, &vm)?;
        request = request.header(ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("Last-Event-ID", last.as_str());
        }
        let answer = tokio::time::timeout(super::REQUEST_LIMIT, self.client.send(request)).await;
        match answer {
            Ok(Ok(response)) => {
                let messages = response.bytes_stream().eventsource().map(Result::ok);
                Ok(Some(Box::pin(messages)))
            }
            Ok(Err(error)) if !error.is_transport() => Err(error),
            // The first connection of all is not retried: a person who mistyped an address should not wait.
            Ok(Err(error)) if self.last.is_none() && self.failures == 0 => Err(error),
            Ok(Err(_)) | Err(_) => {
                self.pause().await?;
                Ok(None)
            }
        }
    }

    async fn pause(&mut self) -> Result<(), ClientError> {
        if self.failures >= ATTEMPTS {
            return Err(ClientError::StreamLost {
                url: self.client.url().to_owned(),
            });
        }
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(self.failures)).await;
        self.failures += 1;
        Ok(())
    }

    fn receive(&mut self, message: eventsource_stream::Event) -> Result<Option<Received>, ClientError> {
        if message.event == "reset" {
            self.last = None;
            return Ok(None);
        }
        let event = serde_json::from_str(&message.data).map_err(|source| ClientError::Answer {
            url: self.client.url().to_owned(),
            source,
        })?;
        let id = Some(message.id).filter(|id| !id.is_empty()).map(EventId);
        if id.is_some() {
            self.last.clone_from(&id);
        }
        Ok(Some(Received { id, event }))
    }
}
