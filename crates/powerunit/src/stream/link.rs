//! This stream's end of the frames, with the credit of both directions.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame};
use wire::stream::{End, Input, Lane, Open, Output, WINDOW};

/// Credit is given back in parts of this size: smaller ones would double the frames of a bulk copy, larger ones would
/// let the sender run dry.
const GIVEN_BACK: u32 = WINDOW / 4;

/// What one read of the socket takes.
const READ: usize = 16 * 1024;

/// The socket to PID 1. Writes wait until PID 1 takes them, which it does while the host does.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    decoder: Decoder<HostFrame>,
    heard: VecDeque<Input>,
    number: u32,
    /// Bytes of output that may be sent.
    room: u32,
    /// Bytes of input that the host may still send.
    allowed: u32,
    /// Bytes of input that were used and not given back yet.
    used: u32,
    closed: bool,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            heard: VecDeque::new(),
            number: 0,
            room: WINDOW,
            allowed: WINDOW,
            used: 0,
            closed: false,
        }
    }

    /// What this stream is for; `None` when PID 1 went first.
    pub(super) fn opened(&mut self) -> Option<Open> {
        loop {
            while let Some(frame) = self.decoder.next_frame() {
                if let Ok(HostFrame::Open { stream, open }) = frame {
                    self.number = stream;
                    return Some(open);
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next thing the host said, waiting for it. The last one is `Close`.
    pub(super) fn wait(&mut self) -> Input {
        loop {
            if let Some(input) = self.next() {
                return input;
            }
            if self.closed {
                return Input::Close;
            }
            self.hear();
        }
    }

    /// Reads once, and keeps what the host said for [`Link::next`].
    pub(super) fn hear(&mut self) {
        if !self.fill() {
            self.decode();
            self.close();
        }
    }

    /// The next thing the host has said already.
    pub(super) fn next(&mut self) -> Option<Input> {
        self.decode();
        self.heard.pop_front()
    }

    /// Bytes of output that may be sent now.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.room).unwrap_or(usize::MAX)
    }

    /// Sends output, which must fit in [`Link::room`].
    pub(super) fn data(&mut self, lane: Lane, bytes: &[u8]) {
        self.room = self.room.saturating_sub(count(bytes.len()));
        self.send(Output::Data {
            lane,
            bytes: bytes.to_vec(),
        });
    }

    /// Input of this length was used, so that as much may follow.
    pub(super) fn use_up(&mut self, length: usize) {
        self.used = self.used.saturating_add(count(length));
        if self.used >= GIVEN_BACK {
            let credit = std::mem::take(&mut self.used);
            self.allowed = self.allowed.saturating_add(credit);
            self.send(Output::Credit(credit));
        }
    }

    /// The last word.
    pub(super) fn end(&mut self, end: End) {
        self.send(Output::Ended(end));
    }

    fn send(&mut self, output: Output) {
        let frame = GuestFrame::Output {
            stream: self.number,
            output,
        };
        let sent = Encoder
            .encode(&frame)
            .is_ok_and(|bytes| self.socket.write_all(&bytes).is_ok());
        if !sent {
            self.close();
        }
    }

    /// Whether there may be more: reads once, waiting.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; READ];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.decoder.push(buffer.get(..count).unwrap_or_default());
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn decode(&mut self) {
        while let Some(frame) = self.decoder.next_frame() {
            if let Ok(HostFrame::Input { input, .. }) = frame {
                self.take(input);
            }
        }
    }

    fn take(&mut self, input: Input) {
        match &input {
            Input::Credit(bytes) => self.room = self.room.saturating_add(*bytes),
            // A host that keeps no account cannot be served: what it sends would have no bound.
            Input::Data(bytes) => match self.allowed.checked_sub(count(bytes.len())) {
                Some(left) => self.allowed = left,
                None => return self.close(),
            },
            Input::End | Input::Resize(_) | Input::Signal(_) | Input::Close => {}
        }
        self.heard.push_back(input);
    }

    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.heard.push_back(Input::Close);
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host {
        socket: UnixStream,
        decoder: Decoder<GuestFrame>,
    }

    impl Host {
        fn say(&mut self, input: Input) {
            let frame = HostFrame::Input { stream: 7, input };
            self.socket.write_all(&Encoder.encode(&frame).unwrap()).unwrap();
        }

        fn hear(&mut self) -> Output {
            let mut buffer = [0; 4096];
            loop {
                if let Some(frame) = self.decoder.next_frame() {
                    let GuestFrame::Output { stream: 7, output } = frame.unwrap() else {
                        panic!("another frame")
                    };
                    return output;
                }
                let count = self.socket.read(&mut buffer).unwrap();
                self.decoder.push(&buffer[..count]);
            }
        }
    }

    fn pair() -> (Link, Host) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut host = Host {
            socket: theirs,
            decoder: Decoder::default(),
        };
        let mut link = Link::new(ours);
        let open = Open::ReadFiles { path: "/x".into() };
        let frame = HostFrame::Open {
            stream: 7,
            open: open.clone(),
        };
        host.socket.write_all(&Encoder.encode(&frame).unwrap()).unwrap();
        assert_eq!(link.opened(), Some(open));
        (link, host)
    }

    #[test]
    fn room_goes_with_data_and_comes_with_credit() {
        let (mut link, mut host) = pair();
        assert_eq!(link.room(), WINDOW as usize);
        link.data(Lane::Stdout, b"hello");
        assert_eq!(link.room(), WINDOW as usize - 5);
        let expected = Output::Data {
            lane: Lane::Stdout,
            bytes: b"hello".to_vec(),
        };
        assert_eq!(host.hear(), expected);
        host.say(Input::Credit(5));
        assert_eq!(link.wait(), Input::Credit(5));
        assert_eq!(link.room(), WINDOW as usize);
    }

    #[test]
    fn used_input_is_given_back() {
        let (mut link, mut host) = pair();
        host.say(Input::Data(vec![1; GIVEN_BACK as usize]));
        assert!(matches!(link.wait(), Input::Data(_)));
        link.use_up(GIVEN_BACK as usize - 1);
        link.use_up(1);
        assert_eq!(host.hear(), Output::Credit(GIVEN_BACK));
    }

    #[test]
    fn a_host_that_sends_more_than_it_may_is_not_heard_any_more() {
        let (mut link, mut host) = pair();
        let part = vec![0; 64 * 1024];
        std::thread::scope(|scope| {
            scope.spawn(|| (0..5).for_each(|_| host.say(Input::Data(part.clone()))));
            for _ in 0..4 {
                assert!(matches!(link.wait(), Input::Data(_)));
            }
            assert_eq!(link.wait(), Input::Close);
        });
    }

    #[test]
    fn what_came_together_with_the_opening_is_heard() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let open = Open::WriteFiles { path: "/x".into() };
        let frames = [
            HostFrame::Open { stream: 7, open },
            HostFrame::Input {
                stream: 7,
                input: Input::End,
            },
        ];
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| Encoder.encode(frame).unwrap())
            .collect();
        theirs.write_all(&bytes).unwrap();
        let mut link = Link::new(ours);
        assert!(link.opened().is_some());
        // The socket stays open and empty: a link that reads before it looks would wait for ever.
        assert_eq!(link.wait(), Input::End);
    }

    #[test]
    fn the_end_of_the_socket_is_close() {
        let (mut link, host) = pair();
        drop(host);
        assert_eq!(link.wait(), Input::Close);
        assert_eq!(link.wait(), Input::Close);
        link.end(End::Done);
    }
}
