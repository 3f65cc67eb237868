//! What the two ends of a stream share: what is under way, and how much more may be.
//!
//! Plain state without waiting, so that its rules are arithmetic; [`crate::stream`] adds who waits for what.

use std::collections::VecDeque;

use wire::stream::{End, Input, Lane, MAX_DATA, Output, WINDOW};

use crate::{Overrun, Received};

/// A stream, seen from between its ends.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Towards the VM, in order; neighbours of data are one, and there is at most one change of size and one of each
    /// signal, so its length is bounded.
    inputs: VecDeque<Input>,
    /// Bytes of input that the client may still send.
    room: u32,
    /// Bytes of output that the client has used and the VM's side was not told of.
    used: u32,
    close: Close,
    /// From the VM: bytes, and how long a run of them came from which lane.
    bytes: VecDeque<u8>,
    runs: VecDeque<(Lane, u32)>,
    /// Bytes of output that the VM's side may still send.
    output_room: u32,
    end: Option<End>,
    end_heard: bool,
}

/// Whether the client has lost interest, and its host knows.
#[derive(Debug, PartialEq, Eq)]
enum Close {
    Open,
    Asked,
    Told,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            inputs: VecDeque::new(),
            room: WINDOW,
            used: 0,
            close: Close::Open,
            bytes: VecDeque::new(),
            runs: VecDeque::new(),
            output_room: WINDOW,
            end: None,
            end_heard: false,
        }
    }
}

impl Pipe {
    /// Whether the stream is over, as far as its VM's side goes.
    pub(crate) const fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// Takes as much of `data` as there is room for and gives how much that was.
    pub(crate) fn push_data(&mut self, data: &[u8]) -> usize {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let count = data.len().min(room).min(MAX_DATA);
        let Some(data) = data.get(..count).filter(|data| !data.is_empty()) else {
            return 0;
        };
        self.room -= u32::try_from(count).unwrap_or(self.room);
        match self.inputs.back_mut() {
            Some(Input::Data(last)) if last.len() + count <= MAX_DATA => last.extend_from_slice(data),
            Some(
                Input::Data(_)
                | Input::End
                | Input::Resize(_)
                | Input::Signal(_)
                | Input::Credit(_)
                | Input::Close,
            )
            | None => self.inputs.push_back(Input::Data(data.to_vec())),
        }
        count
    }

    /// Takes something beside data. As on Linux, a signal that is still pending is not pending twice, and of two sizes
    /// only the newer counts.
    pub(crate) fn push(&mut self, input: Input) {
        match &input {
            Input::Resize(_) => self.inputs.retain(|held| !matches!(held, Input::Resize(_))),
            Input::Signal(_) | Input::End if self.inputs.contains(&input) => return,
            Input::Data(_) | Input::End | Input::Signal(_) | Input::Credit(_) | Input::Close => {}
        }
        self.inputs.push_back(input);
    }

    /// The client has lost interest.
    pub(crate) fn close(&mut self) {
        if self.close == Close::Open {
            self.close = Close::Asked;
            self.inputs.clear();
            self.bytes = VecDeque::new();
            self.runs = VecDeque::new();
        }
    }

    /// The client has used so many bytes of output.
    pub(crate) fn use_up(&mut self, count: u32) {
        self.used += count;
        self.output_room += count;
    }

    /// The next word for the VM's side.
    pub(crate) fn pop_input(&mut self) -> Option<Input> {
        if self.close == Close::Asked {
            self.close = Close::Told;
            return Some(Input::Close);
        }
        match std::mem::take(&mut self.used) {
            0 => self.inputs.pop_front(),
            used => Some(Input::Credit(used)),
        }
    }

    /// Takes a word of the VM's side. What follows an end, or comes for a client that has gone, is dropped.
    pub(crate) fn put(&mut self, output: Output) -> Result<(), Overrun> {
        if self.ended() {
            return Ok(());
        }
        match output {
            Output::Data { lane, bytes } => self.put_data(lane, &bytes)?,
            Output::Credit(count) => self.room = self.room.saturating_add(count).min(WINDOW),
            Output::Ended(end) => self.end = Some(end),
        }
        Ok(())
    }

    fn put_data(&mut self, lane: Lane, bytes: &[u8]) -> Result<(), Overrun> {
        let count = u32::try_from(bytes.len()).map_err(|_| Overrun)?;
        self.output_room = self.output_room.checked_sub(count).ok_or(Overrun)?;
        if self.close != Close::Open || count == 0 {
            return Ok(());
        }
        self.bytes.extend(bytes);
        match self.runs.back_mut() {
            Some((last, length)) if *last == lane => *length += count,
            Some(_) | None => self.runs.push_back((lane, count)),
        }
        Ok(())
    }

    /// The next word for the client: all data, then the end, once.
    pub(crate) fn pop_output(&mut self) -> Option<Received> {
        if let Some((lane, length)) = self.runs.front_mut() {
            let lane = *lane;
            let count = (*length).min(u32::try_from(MAX_DATA).unwrap_or(u32::MAX));
            *length -= count;
            if *length == 0 {
                self.runs.pop_front();
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes.len());
            let bytes = self.bytes.drain(..count).collect();
            return Some(Received::Data { lane, bytes });
        }
        if self.end_heard {
            return None;
        }
        let end = self.end.clone()?;
        self.end_heard = true;
        Some(Received::Ended(end))
    }

    /// Whether the client has heard everything.
    pub(crate) const fn exhausted(&self) -> bool {
        self.end_heard
    }
}
