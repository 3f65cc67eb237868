//! The streams of one connection to a guest.

use std::collections::HashMap;

use link::{HostReader, HostWriter};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::guest::HostFrame;
use wire::stream::{FailureCode, Input, Output};

use super::Opening;
use crate::activity::Using;

/// Streams at once. A guest takes fewer; this only bounds what a host keeps for one that never ends any.
const MOST: usize = 64;

/// The open streams, by number. Dropping it ends them as lost.
pub(super) struct Streams {
    open: HashMap<u32, (HostWriter, Using)>,
    last: u32,
    inputs: mpsc::Receiver<(u32, Input)>,
    input: mpsc::Sender<(u32, Input)>,
    relays: JoinSet<()>,
}

impl Streams {
    pub(super) fn new() -> Self {
        let (input, inputs) = mpsc::channel(1);
        Self {
            open: HashMap::new(),
            last: 0,
            inputs,
            input,
            relays: JoinSet::new(),
        }
    }

    /// Takes a stream in and gives what the guest is told; `None` where there is no room for it.
    pub(super) fn begin(&mut self, opening: Opening) -> Option<HostFrame> {
        let Opening { open, stream, using } = opening;
        while self.relays.try_join_next().is_some() {}
        if self.open.len() >= MOST {
            stream.refuse(FailureCode::Busy, "too many streams into the VM are open");
            return None;
        }
        self.last += 1;
        let number = self.last;
        self.open.insert(number, (stream.writer, using));
        self.relays
            .spawn(relay(number, stream.reader, self.input.clone()));
        Some(HostFrame::Open { stream: number, open })
    }

    /// The next word of a client for the guest.
    pub(super) async fn next(&mut self) -> HostFrame {
        loop {
            // The sender beside it keeps the channel open.
            match self.inputs.recv().await {
                Some((stream, input)) if self.open.contains_key(&stream) => {
                    return HostFrame::Input { stream, input };
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Passes a word of the guest on to its client. A guest that sends more than it was given room for loses the
    /// stream, and is told so.
    pub(super) fn hear(&mut self, number: u32, output: Output) -> Option<HostFrame> {
        let (writer, _) = self.open.get(&number)?;
        let ended = matches!(output, Output::Ended(_));
        let kept = writer.put(output).is_ok();
        if kept && !ended {
            return None;
        }
        let (writer, _using) = self.open.remove(&number)?;
        if kept {
            return None;
        }
        writer.fail(FailureCode::Failed, "the guest sent more than it may");
        Some(HostFrame::Input {
            stream: number,
            input: Input::Close,
        })
    }
}

/// Passes what a client says on, in order, until its stream has ended.
async fn relay(number: u32, mut client: HostReader, guest: mpsc::Sender<(u32, Input)>) {
    while let Some(input) = client.next().await {
        if guest.send((number, input)).await.is_err() {
            return;
        }
    }
}
