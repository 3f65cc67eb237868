//! The messages of a stream over a WebSocket (RFC 6455), both ways; docs/streams.md tells them to clients.
//!
//! ```text
//!   one binary message = one byte of channel, then
//!
//!   0  towards the VM   bytes of standard input
//!   1  from the VM      bytes of standard output; a terminal's, and a console's
//!   2  from the VM      bytes of standard error
//!   3  both ways        one JSON object that its `type` tells
//! ```
//!
//! Text messages are not used. What is said towards the VM is closed: anything unknown is refused. What comes from it
//! is open: a client passes over channels and types that it does not know.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The name of these messages in `Sec-WebSocket-Protocol`, for clients that want to be sure.
pub const SUBPROTOCOL: &str = "pitwall.stream.v1";

/// The longest message that a server takes, bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const CONTROL: u8 = 3;

/// Towards the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bytes of standard input.
    Data(Bytes),
    /// No more of them follow.
    End,
    /// The client's terminal has another size.
    Resize {
        /// Its width, in characters.
        columns: u16,
        /// Its height, in characters.
        rows: u16,
    },
    /// A signal for the program, by its number on Linux.
    Signal(i32),
}

/// From the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// What the program printed.
    Stdout(Bytes),
    /// What the program printed on its standard error.
    Stderr(Bytes),
    /// The end; nothing follows.
    Ended(End),
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program ended by itself, with this status.
    Exited(i32),
    /// The program was ended by this signal.
    Killed(i32),
    /// There was nothing more.
    Done,
    /// It did not come to that.
    Failed {
        /// The cause, for programs.
        code: String,
        /// The cause, for people.
        message: String,
    },
}

/// A message that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not even a channel.
    #[error("a message has at least one byte, its channel")]
    Empty,
    /// Nothing is said to the VM there.
    #[error("nothing is sent on channel {0}; it is 0 for standard input and 3 for control")]
    Channel(u8),
    /// Control that is none.
    #[error("the control message cannot be read")]
    Control(#[source] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum InputControl {
    Eof {},
    Resize { columns: u16, rows: u16 },
    Signal { signal: i32 },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputControl {
    Exit {
        exit_code: Option<i32>,
        signal: Option<i32>,
    },
    Done,
    Error {
        code: String,
        message: String,
    },
    #[serde(other)]
    Unknown,
}

impl Input {
    /// The message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Data(bytes) => tagged(STDIN, bytes),
            Self::End => control(&InputControl::Eof {}),
            &Self::Resize { columns, rows } => control(&InputControl::Resize { columns, rows }),
            &Self::Signal(signal) => control(&InputControl::Signal { signal }),
        }
    }

    /// What a message says.
    ///
    /// # Errors
    /// It is none of those above.
    pub fn decode(message: Bytes) -> Result<Self, FrameError> {
        match split(message)? {
            (STDIN, bytes) => Ok(Self::Data(bytes)),
            (CONTROL, json) => match serde_json::from_slice(&json).map_err(FrameError::Control)? {
                InputControl::Eof {} => Ok(Self::End),
                InputControl::Resize { columns, rows } => Ok(Self::Resize { columns, rows }),
                InputControl::Signal { signal } => Ok(Self::Signal(signal)),
            },
            (channel, _) => Err(FrameError::Channel(channel)),
        }
    }
}

impl Output {
    /// The message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Stdout(bytes) => tagged(STDOUT, bytes),
            Self::Stderr(bytes) => tagged(STDERR, bytes),
            Self::Ended(end) => control(&OutputControl::from(end)),
        }
    }

    /// What a message says; `None` where this version does not know it.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn decode(message: Bytes) -> Result<Option<Self>, FrameError> {
        Ok(match split(message)? {
            (STDOUT, bytes) => Some(Self::Stdout(bytes)),
            (STDERR, bytes) => Some(Self::Stderr(bytes)),
            (CONTROL, json) => {
                let said = serde_json::from_slice::<OutputControl>(&json).map_err(FrameError::Control)?;
                said.into_end().map(Self::Ended)
            }
            (_, _) => None,
        })
    }
}

impl From<&End> for OutputControl {
    fn from(end: &End) -> Self {
        match end {
            End::Exited(code) => Self::Exit {
                exit_code: Some(*code),
                signal: None,
            },
            End::Killed(signal) => Self::Exit {
                exit_code: None,
                signal: Some(*signal),
            },
            End::Done => Self::Done,
            End::Failed { code, message } => Self::Error {
                code: code.clone(),
                message: message.clone(),
            },
        }
    }
}

impl OutputControl {
    fn into_end(self) -> Option<End> {
        match self {
            Self::Exit {
                signal: Some(signal), ..
            } => Some(End::Killed(signal)),
            Self::Exit { exit_code, .. } => exit_code.map(End::Exited),
            Self::Done => Some(End::Done),
            Self::Error { code, message } => Some(End::Failed { code, message }),
            Self::Unknown => None,
        }
    }
}

fn tagged(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}

fn control(said: &impl Serialize) -> Bytes {
    // Maps of text and numbers always have a JSON form.
    tagged(CONTROL, &serde_json::to_vec(said).unwrap_or_default())
}

fn split(mut message: Bytes) -> Result<(u8, Bytes), FrameError> {
    let channel = *message.first().ok_or(FrameError::Empty)?;
    let content = message.split_off(1);
    Ok((channel, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_page_says() {
        let text = |message: Bytes| String::from_utf8(message.to_vec()).unwrap();
        let input = [
            (Input::Data("ls\n".into()), "\0ls\n"),
            (Input::End, "\x03{\"type\":\"eof\"}"),
            (
                Input::Resize {
                    columns: 80,
                    rows: 24,
                },
                "\x03{\"type\":\"resize\",\"columns\":80,\"rows\":24}",
            ),
            (Input::Signal(15), "\x03{\"type\":\"signal\",\"signal\":15}"),
        ];
        for (said, expected) in input {
            assert_eq!(text(said.encode()), expected);
            assert_eq!(Input::decode(said.encode()).unwrap(), said);
        }
        let failed = End::Failed {
            code: "not_found".into(),
            message: "m".into(),
        };
        let output = [
            (Output::Stdout("a".into()), "\x01a"),
            (Output::Stderr("b".into()), "\x02b"),
            (
                Output::Ended(End::Exited(0)),
                "\x03{\"type\":\"exit\",\"exit_code\":0,\"signal\":null}",
            ),
            (
                Output::Ended(End::Killed(9)),
                "\x03{\"type\":\"exit\",\"exit_code\":null,\"signal\":9}",
            ),
            (Output::Ended(End::Done), "\x03{\"type\":\"done\"}"),
            (
                Output::Ended(failed),
                "\x03{\"type\":\"error\",\"code\":\"not_found\",\"message\":\"m\"}",
            ),
        ];
        for (said, expected) in output {
            assert_eq!(text(said.encode()), expected);
            assert_eq!(Output::decode(said.encode()).unwrap(), Some(said));
        }
    }

    #[test]
    fn what_is_said_to_a_vm_is_closed() {
        for bad in [
            "",
            "\x01x",
            "\x07",
            "\x03",
            "\x03{}",
            "\x03{\"type\":\"jump\"}",
            "\x03{\"type\":\"eof\",\"more\":1}",
            "\x03{\"type\":\"resize\",\"columns\":-1,\"rows\":1}",
        ] {
            assert!(
                Input::decode(Bytes::from_static(bad.as_bytes())).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn what_a_vm_says_is_open() {
        for new in [
            "\x09later",
            "\x03{\"type\":\"weather\",\"is\":\"fine\"}",
            "\x03{\"type\":\"exit\"}",
        ] {
            assert_eq!(
                Output::decode(Bytes::from_static(new.as_bytes())).unwrap(),
                None,
                "{new:?}"
            );
        }
        let more = Bytes::from_static(b"\x03{\"type\":\"exit\",\"exit_code\":3,\"signal\":null,\"cpu\":1}");
        assert_eq!(Output::decode(more).unwrap(), Some(Output::Ended(End::Exited(3))));
    }
}
