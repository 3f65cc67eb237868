//! The two ends of a byte stream, each in a half that says and a half that hears.
//!
//! The client's end keeps the account of credit by itself: sending waits for room, and taking output gives room back.
//! The host's end shows every word of [`wire::stream`], since a guest keeps its own account at the other side of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wire::stream::{End, Failure, FailureCode, Input, Lane, Output, TerminalSize, WINDOW};

use crate::log::lost;
use crate::pipe::Pipe;

/// Used output is told in steps of this size: small enough that the writer never waits for it, large enough that it
/// costs nothing.
const CREDIT_STEP: u32 = WINDOW / 4;

/// The stream has ended; its reader tells how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended")]
pub struct Over;

/// A host's side sent more than it was given credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more was sent than the other side gave room for")]
pub struct Overrun;

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Bytes.
    Data {
        /// Where they were printed.
        lane: Lane,
        /// What was printed.
        bytes: Vec<u8>,
    },
    /// The end; always last.
    Ended(End),
}

/// Both ends of a new stream.
pub fn stream() -> (Stream, HostStream) {
    let shared = Arc::new(Shared::default());
    let client = Stream {
        writer: StreamWriter(shared.clone()),
        reader: StreamReader {
            shared: shared.clone(),
            used: 0,
        },
    };
    let host = HostStream {
        writer: HostWriter(shared.clone()),
        reader: HostReader(shared),
    };
    (client, host)
}

/// A pipe, and a bell for each who may wait: there is one waiter at each.
#[derive(Default)]
struct Shared {
    pipe: Mutex<Pipe>,
    input: Notify,
    room: Notify,
    output: Notify,
}

impl Shared {
    /// Each change leaves the pipe whole, so a panic elsewhere cannot have left it half-changed.
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, output: Output) -> Result<(), Overrun> {
        self.pipe().put(output)?;
        self.output.notify_one();
        self.room.notify_one();
        self.input.notify_one();
        Ok(())
    }
}

/// The client's end.
pub struct Stream {
    /// What is said to the VM.
    pub writer: StreamWriter,
    /// What the VM says.
    pub reader: StreamReader,
}

/// What a client says to the VM. Dropping it ends the input.
pub struct StreamWriter(Arc<Shared>);

impl StreamWriter {
    /// Sends bytes, as the other side makes room. May be given up at any point; what was sent until then stays sent.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn data(&mut self, mut bytes: &[u8]) -> Result<(), Over> {
        loop {
            {
                let mut pipe = self.0.pipe();
                if pipe.ended() {
                    return Err(Over);
                }
                let count = pipe.push_data(bytes);
                bytes = bytes.get(count..).unwrap_or_default();
                if count > 0 {
                    self.0.input.notify_one();
                    continue;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            self.0.room.notified().await;
        }
    }

    /// Says that no more data follows.
    pub fn end(&mut self) {
        self.say(Input::End);
    }

    /// Tells the size of the client's terminal.
    pub fn resize(&mut self, size: TerminalSize) {
        self.say(Input::Resize(size));
    }

    /// Sends a signal, by its number on Linux, to the program's process group.
    pub fn signal(&mut self, number: i32) {
        self.say(Input::Signal(number));
    }

    fn say(&self, input: Input) {
        self.0.pipe().push(input);
        self.0.input.notify_one();
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a client hears of the VM. Dropping it closes the stream.
pub struct StreamReader {
    shared: Arc<Shared>,
    /// Bytes taken and used, but not given back yet.
    used: u32,
}

impl StreamReader {
    /// The next word, the last of which is [`Received::Ended`]; `None` behind it. Asking for it says that the one before
    /// was used.
    pub async fn next(&mut self) -> Option<Received> {
        if self.used >= CREDIT_STEP {
            self.shared.pipe().use_up(std::mem::take(&mut self.used));
            self.shared.input.notify_one();
        }
        loop {
            {
                let mut pipe = self.shared.pipe();
                if pipe.exhausted() {
                    return None;
                }
                if let Some(received) = pipe.pop_output() {
                    if let Received::Data { bytes, .. } = &received {
                        self.used += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    }
                    return Some(received);
                }
            }
            self.shared.output.notified().await;
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.shared.pipe().close();
        self.shared.input.notify_one();
    }
}

/// The host's end.
pub struct HostStream {
    /// What is said to the client.
    pub writer: HostWriter,
    /// What the client says.
    pub reader: HostReader,
}

impl HostStream {
    /// Ends the stream before it began.
    pub fn refuse(self, code: FailureCode, message: impl Into<String>) {
        self.writer.fail(code, message);
    }
}

/// What a host says to a client. Dropped without an end, the stream ends as lost.
pub struct HostWriter(Arc<Shared>);

impl HostWriter {
    /// Says something; never waits. What is said behind the end is dropped.
    ///
    /// # Errors
    /// It is more data than the client gave room for; none of it was taken.
    pub fn put(&self, output: Output) -> Result<(), Overrun> {
        self.0.put(output)
    }

    /// Ends the stream.
    pub fn end(self, end: End) {
        // An end takes no room.
        let _ = self.put(Output::Ended(end));
    }

    /// Ends the stream in failure.
    pub fn fail(self, code: FailureCode, message: impl Into<String>) {
        let message = message.into();
        self.end(End::Failed(Failure { code, message }));
    }
}

impl Drop for HostWriter {
    fn drop(&mut self) {
        let _ = self.put(Output::Ended(End::Failed(lost())));
    }
}

/// What a host hears of a client.
pub struct HostReader(Arc<Shared>);

impl HostReader {
    /// The next word; `None` once the stream has ended. A client that has gone says [`Input::Close`], once.
    pub async fn next(&mut self) -> Option<Input> {
        loop {
            {
                let mut pipe = self.0.pipe();
                if pipe.ended() {
                    return None;
                }
                if let Some(input) = pipe.pop_input() {
                    return Some(input);
                }
            }
            self.0.input.notified().await;
        }
    }
}
