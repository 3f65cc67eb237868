//! QEMU's monitor: JSON lines over a socket (QEMU Machine Protocol specification). Only what is needed here: greeting,
//! commands without arguments, events.

use std::collections::VecDeque;
use std::path::Path;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::QmpError;

/// A monitor that has been greeted.
pub(super) struct Qmp {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    events: VecDeque<Event>,
}

/// Something that happened in the VMM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The machine has shut down or is about to.
    Shutdown(Cause),
    /// The machine does not execute instructions any more.
    Stopped,
    /// Anything else.
    Other,
}

/// Why a machine shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The guest powered off.
    GuestPowerOff,
    /// The guest reset its machine: a reboot, or a panic.
    GuestReset,
    /// Somebody on the host wanted it.
    Host,
}

/// What the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// It runs, or is about to.
    Runs,
    /// The guest has shut down.
    Shutdown,
    /// A disk did not take a write; it can go on when it does.
    DiskError,
    /// It can never go on.
    Broken,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "QMP")]
    greeting: Option<serde_json::Value>,
    event: Option<String>,
    data: EventData,
    #[serde(rename = "return")]
    answer: Option<serde_json::Value>,
    error: Option<Refusal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EventData {
    guest: bool,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

impl Qmp {
    /// Connects and gets past the greeting. A monitor has one client at a time: this waits for the one before.
    pub(super) async fn connect(path: &Path) -> Result<Self, QmpError> {
        let stream = UnixStream::connect(path).await;
        let (reader, writer) = stream
            .map_err(|source| QmpError::Io {
                operation: "connect to",
                source,
            })?
            .into_split();
        let mut qmp = Self {
            lines: BufReader::new(reader).lines(),
            writer,
            events: VecDeque::new(),
        };
        while qmp.message().await?.greeting.is_none() {}
        qmp.command("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// What the machine does.
    pub(super) async fn state(&mut self) -> Result<RunState, QmpError> {
        let answer = self.command("query-status").await?;
        Ok(match answer.get("status").and_then(serde_json::Value::as_str) {
            Some("shutdown") => RunState::Shutdown,
            Some("io-error") => RunState::DiskError,
            Some("internal-error" | "guest-panicked") => RunState::Broken,
            _ => RunState::Runs,
        })
    }

    /// Why the machine shut down, if that was said while something else was waited for.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Shutdown(cause) => Some(*cause),
            Event::Stopped | Event::Other => None,
        })
    }

    /// Ends the VMM.
    pub(super) async fn quit(&mut self) -> Result<(), QmpError> {
        self.send("quit").await
    }

    /// Lets a stopped machine go on.
    pub(super) async fn go_on(&mut self) -> Result<(), QmpError> {
        self.command("cont").await.map(drop)
    }

    /// The next event. May be dropped half-way without losing one.
    pub(super) async fn event(&mut self) -> Result<Event, QmpError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.message().await?;
        }
    }

    async fn command(&mut self, command: &'static str) -> Result<serde_json::Value, QmpError> {
        self.send(command).await?;
        loop {
            let message = self.message().await?;
            if let Some(refusal) = message.error {
                return Err(QmpError::Refused {
                    command,
                    answer: refusal.desc,
                });
            }
            if let Some(answer) = message.answer {
                return Ok(answer);
            }
        }
    }

    async fn send(&mut self, command: &'static str) -> Result<(), QmpError> {
        let line = format!("{{\"execute\":\"{command}\"}}\n");
        let sent = self.writer.write_all(line.as_bytes()).await;
        sent.map_err(|source| QmpError::Io {
            operation: "write to",
            source,
        })
    }

    /// Reads one message; an event is put aside.
    async fn message(&mut self) -> Result<Message, QmpError> {
        let line = self.lines.next_line().await;
        let line = line.map_err(|source| QmpError::Io {
            operation: "read from",
            source,
        })?;
        let message: Message =
            serde_json::from_str(&line.ok_or(QmpError::HungUp)?).map_err(QmpError::Garbled)?;
        if let Some(name) = &message.event {
            self.events.push_back(event(name, &message.data));
        }
        Ok(message)
    }
}

fn event(name: &str, data: &EventData) -> Event {
    match name {
        "SHUTDOWN" if data.guest && data.reason == "guest-reset" => Event::Shutdown(Cause::GuestReset),
        "SHUTDOWN" if data.guest => Event::Shutdown(Cause::GuestPowerOff),
        "SHUTDOWN" => Event::Shutdown(Cause::Host),
        "STOP" => Event::Stopped,
        _ => Event::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spoken(script: &str) -> (Qmp, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let script = script.to_owned();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"{\"QMP\":{\"version\":{}}}\n{\"return\":{}}\n")
                .await
                .unwrap();
            stream.write_all(script.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            tokio::io::copy(&mut stream, &mut tokio::io::sink())
                .await
                .unwrap();
        });
        (Qmp::connect(&path).await.unwrap(), directory)
    }

    #[tokio::test]
    async fn an_event_between_question_and_answer_is_kept() {
        let script = "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}}\n\
                      {\"return\":{\"status\":\"shutdown\",\"running\":false}}\n{\"event\":\"STOP\"}\n";
        let (mut qmp, _directory) = spoken(script).await;
        assert_eq!(qmp.state().await.unwrap(), RunState::Shutdown);
        assert_eq!(qmp.event().await.unwrap(), Event::Shutdown(Cause::GuestPowerOff));
        assert_eq!(qmp.event().await.unwrap(), Event::Stopped);
        assert!(matches!(qmp.event().await, Err(QmpError::HungUp)));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_qemus_words() {
        let (mut qmp, _directory) =
            spoken("{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n").await;
        assert_eq!(
            qmp.go_on().await.unwrap_err().to_string(),
            "the monitor refused cont: no"
        );
    }

    #[test]
    fn a_reset_is_told_from_a_power_off_and_both_from_the_host() {
        let data = |guest, reason: &str| EventData {
            guest,
            reason: reason.into(),
        };
        assert_eq!(
            event("SHUTDOWN", &data(true, "guest-reset")),
            Event::Shutdown(Cause::GuestReset)
        );
        assert_eq!(
            event("SHUTDOWN", &data(false, "host-signal")),
            Event::Shutdown(Cause::Host)
        );
        assert_eq!(event("RESUME", &data(false, "")), Event::Other);
    }
}
