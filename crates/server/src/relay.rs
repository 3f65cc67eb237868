//! A stream between a WebSocket and a VM.
//!
//! ```text
//!   client ── messages ──► inward  ── Input  ──►  VM
//!   client ◄─ messages ──  outward ◄─ Output ───  VM       and a ping every 20 s
//! ```
//!
//! What always holds:
//!
//! - Each direction holds one message at a time. A side that takes nothing stops the other: by TCP towards the client,
//!   by credit towards the VM.
//! - The end is the last message to the client, then the WebSocket is closed in order.
//! - A caller whose right is taken away is told so by the end; its program is told at once, whether it reads or not.
//! - A client that is silent for [`SILENCE_LIMIT`] has gone, and its program is told. One that does not read may still
//!   speak. One that we do not read, since the VM takes no input, cannot be heard and gets [`HELD_LIMIT`].

mod pulse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::frame::{self, Input, MAX_MESSAGE, Output, SUBPROTOCOL};
use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use control::stream::{End, Failure, FailureCode, Lane, TerminalSize};
use control::{Received, Stream, StreamReader, StreamWriter};
use futures_util::{Sink, SinkExt, StreamExt};
use http::request::Parts;
use model::{Problem, ProblemCode, ProgramEnd};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::pulse::{HELD_LIMIT, Pulse, SILENCE_LIMIT};
use crate::access::Withdrawn;
use crate::refusal::Refusal;
use crate::router::{App, Closing, closed};

/// How often the client is asked whether it is there. Well below the idle limits of proxies, commonly 60 s.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to answer when it was cut off; less than a closing server gives its connections.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// The greatest signal number of Linux.
const LAST_SIGNAL: i32 = 64;

/// A request for a WebSocket, or one that should have been.
pub(crate) struct Upgrade(Result<WebSocketUpgrade, WebSocketUpgradeRejection>);

impl FromRequestParts<App> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(Self(WebSocketUpgrade::from_request_parts(parts, app).await))
    }
}

impl Upgrade {
    /// The upgrade, once everything else about the request is in order.
    pub(crate) fn ready(self) -> Result<WebSocketUpgrade, Problem> {
        self.0.map_err(|rejection| {
            let detail = format!("this path is a WebSocket: {}", rejection.body_text());
            Problem::new(ProblemCode::UpgradeRequired, detail)
                .hint("docs/streams.md tells how a stream is opened; pwctl exec and pwctl console do it")
        })
    }
}

/// The relays under way, so that a closing server waits for them.
#[derive(Clone)]
pub(crate) struct Relays {
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: Closing,
}

impl Relays {
    /// The answer that turns the connection into a WebSocket, and the relay behind it.
    pub(crate) fn upgrade(self, upgrade: WebSocketUpgrade, stream: Stream, withdrawn: Withdrawn) -> Response {
        let Self { tasks, closing } = self;
        upgrade
            .protocols([SUBPROTOCOL])
            .max_message_size(MAX_MESSAGE)
            .on_upgrade(move |socket: WebSocket| {
                tasks.track_future(async move {
                    let (sink, messages) = socket.split();
                    relay(sink, messages, stream, withdrawn, closing).await;
                })
            })
    }
}

/// Why a relay ends.
#[derive(Debug)]
enum Goodbye {
    /// All was said.
    Said,
    /// The client has closed the WebSocket, or its connection broke.
    Left,
    /// The client is silent.
    Silent,
    /// The client sent what makes no sense.
    Senseless(String),
    /// The caller may not do this any more.
    Withdrawn(Problem),
    /// The server closes.
    Closing,
}

async fn relay<S, M, E>(mut sink: S, mut messages: M, stream: Stream, withdrawn: Withdrawn, closing: Closing)
where
    S: Sink<Message> + Unpin,
    M: futures_util::Stream<Item = Result<Message, E>> + Unpin,
{
    let Stream {
        mut writer,
        mut reader,
    } = stream;
    let pulse = Pulse::new();
    let goodbye = tokio::select! {
        goodbye = outward(&mut reader, &mut sink) => goodbye,
        goodbye = inward(&mut messages, &mut writer, &pulse) => goodbye,
        () = pulse.stopped() => Goodbye::Silent,
        problem = withdrawn => Goodbye::Withdrawn(problem),
        () = closed(closing.clone()) => Goodbye::Closing,
    };
    tracing::debug!(why = ?goodbye, "a stream ends");
    // The program is told at once, however long the client takes to leave; input does not end before that.
    drop(reader);
    drop(writer);
    let Some(close) = goodbye.frame() else { return };
    let leave = async {
        if let Some(end) = goodbye.end()
            && sink.send(Message::Binary(end.encode())).await.is_err()
        {
            return;
        }
        if sink.send(Message::Close(Some(close))).await.is_ok() {
            // A connection that ends before its client has read everything, or while something of the client's is under
            // way, may lose what was said last.
            while let Ok(Some(Ok(_))) = tokio::time::timeout(SILENCE_LIMIT, messages.next()).await {}
        }
    };
    let at_once = async {
        closed(closing).await;
        tokio::time::sleep(GOODBYE_LIMIT).await;
    };
    tokio::select! {
        // A client that does not answer finds the connection closed.
        _ = tokio::time::timeout(goodbye.patience(), leave) => {}
        () = at_once => {}
    }
}

impl Goodbye {
    /// How long the client may take to read what is left and to answer.
    const fn patience(&self) -> Duration {
        match self {
            Self::Said => HELD_LIMIT,
            Self::Left | Self::Silent | Self::Senseless(_) | Self::Withdrawn(_) | Self::Closing => {
                GOODBYE_LIMIT
            }
        }
    }

    /// The end of the stream, where the VM has not said it.
    fn end(&self) -> Option<Output> {
        match self {
            Self::Withdrawn(problem) => {
                let failure = no_longer_permitted(problem.clone());
                Some(Output::Ended(shape(End::Failed(failure))))
            }
            Self::Said | Self::Left | Self::Silent | Self::Senseless(_) | Self::Closing => None,
        }
    }

    /// What the client is told (RFC 6455 section 7.4.1).
    fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Left | Self::Silent => return None,
            Self::Said => (close_code::NORMAL, ""),
            Self::Senseless(why) => (close_code::POLICY, why.as_str()),
            Self::Withdrawn(_) => (close_code::POLICY, "the right to this was taken away"),
            Self::Closing => (close_code::AWAY, "the server closes"),
        };
        // A close frame has room for 123 bytes of reason (RFC 6455 section 5.5).
        let reason: String = reason.chars().take(120).filter(char::is_ascii).collect();
        Some(CloseFrame {
            code,
            reason: reason.into(),
        })
    }
}

/// From the VM to the client.
async fn outward<S: Sink<Message> + Unpin>(reader: &mut StreamReader, sink: &mut S) -> Goodbye {
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let output = tokio::select! {
            received = reader.next() => output(received),
            _ = ping.tick() => None,
        };
        let is_last = matches!(output, Some(Output::Ended(_)));
        let message = match output {
            Some(output) => Message::Binary(output.encode()),
            None => Message::Ping(axum::body::Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return Goodbye::Left;
        }
        if is_last {
            return Goodbye::Said;
        }
    }
}

fn output(received: Option<Received>) -> Option<Output> {
    Some(match received {
        Some(Received::Data { lane, bytes }) => match lane {
            Lane::Stdout => Output::Stdout(bytes.into()),
            Lane::Stderr => Output::Stderr(bytes.into()),
        },
        Some(Received::Ended(end)) => Output::Ended(shape(end)),
        None => Output::Ended(shape(End::Failed(lost()))),
    })
}

fn shape(end: End) -> frame::End {
    match end {
        End::Program(ProgramEnd::Exited(code)) => frame::End::Exited(code),
        End::Program(ProgramEnd::Killed(signal)) => frame::End::Killed(signal),
        End::Done => frame::End::Done,
        End::Failed(Failure { code, message }) => frame::End::Failed {
            code: code.as_str().to_owned(),
            message,
        },
    }
}

/// From the client to the VM.
async fn inward<M, E>(messages: &mut M, writer: &mut StreamWriter, pulse: &Pulse) -> Goodbye
where
    M: futures_util::Stream<Item = Result<Message, E>> + Unpin,
{
    loop {
        let message = match messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(_)) | None => return Goodbye::Left,
        };
        pulse.beat();
        let input = match message {
            Message::Binary(bytes) => Input::decode(bytes),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Text(_) => return Goodbye::Senseless("all messages are binary".to_owned()),
            Message::Close(_) => return Goodbye::Left,
        };
        match input {
            Ok(Input::Data(bytes)) => {
                let _held_up = pulse.hold_up();
                // Where the stream has ended, the other direction says so.
                let _ = writer.data(&bytes).await;
            }
            Ok(Input::End) => writer.end(),
            Ok(Input::Resize { columns, rows }) => writer.resize(TerminalSize {
                columns: columns.into(),
                rows: rows.into(),
            }),
            Ok(Input::Signal(number @ 1..=LAST_SIGNAL)) => writer.signal(number),
            Ok(Input::Signal(_)) => return Goodbye::Senseless("there is no such signal".to_owned()),
            Err(error) => return Goodbye::Senseless(error.to_string()),
        }
    }
}

/// A failed stream, as the refusal of a request.
pub(crate) fn refused(failure: Failure) -> Problem {
    let code = match failure.code {
        FailureCode::NotFound => ProblemCode::NotFound,
        FailureCode::NotPermitted => ProblemCode::NotPermitted,
        FailureCode::Invalid => ProblemCode::InvalidValue,
        FailureCode::NotRunning => ProblemCode::WrongStatus,
        FailureCode::Unsupported => ProblemCode::Unsupported,
        FailureCode::Lost => ProblemCode::Unavailable,
        FailureCode::Busy => ProblemCode::Busy,
        FailureCode::Failed | FailureCode::Unrecognised => ProblemCode::GuestFailed,
    };
    Problem::new(code, failure.message)
}

/// A stream whose caller may not use it any more.
pub(crate) fn no_longer_permitted(problem: Problem) -> Failure {
    Failure {
        code: FailureCode::NotPermitted,
        message: format!("you may not do this any more: {}", problem.detail),
    }
}

/// A stream that broke off without an end.
pub(crate) fn lost() -> Failure {
    Failure {
        code: FailureCode::Lost,
        message: "the way to the VM was lost".to_owned(),
    }
}
