//! One stream's process, spoken to as PID 1 speaks to it.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame};
use wire::stream::{End, Input, Lane, Open, Output, WINDOW};

/// More than any of these streams takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The host's and PID 1's end of a stream.
pub(crate) struct Stream {
    child: Child,
    socket: Option<UnixStream>,
    decoder: Decoder<GuestFrame>,
    /// Bytes of input that may be sent.
    pub(crate) room: usize,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Bytes of output that the other side may still send.
    allowed: usize,
}

impl Stream {
    pub(crate) fn open(open: Open) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_powerunit"))
            .arg("stream")
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        let mut stream = Self {
            child,
            socket: Some(socket),
            decoder: Decoder::default(),
            room: WINDOW as usize,
            stdout: Vec::new(),
            stderr: Vec::new(),
            allowed: WINDOW as usize,
        };
        stream.frame(&HostFrame::Open { stream: 3, open });
        stream
    }

    pub(crate) fn say(&mut self, input: Input) {
        if let Input::Data(bytes) = &input {
            self.room = self.room.checked_sub(bytes.len()).unwrap();
        }
        self.frame(&HostFrame::Input { stream: 3, input });
    }

    fn frame(&mut self, frame: &HostFrame) {
        let bytes = Encoder.encode(frame).unwrap();
        match self.socket.as_mut().unwrap().write_all(&bytes) {
            // It may have ended already; its last word is still to be read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    /// Gives room for as much more output.
    pub(crate) fn credit(&mut self, bytes: usize) {
        self.allowed += bytes;
        self.say(Input::Credit(u32::try_from(bytes).unwrap()));
    }

    /// The process's parent goes away without a word.
    pub(crate) fn hang_up(&mut self) {
        self.socket = None;
    }

    /// The next thing it says, if it says something within this time.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<Output> {
        let start = Instant::now();
        let mut buffer = [0; 65536];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                let GuestFrame::Output { stream: 3, output } = frame.unwrap() else {
                    panic!("not of this stream")
                };
                self.note(&output);
                return Some(output);
            }
            if start.elapsed() > limit {
                return None;
            }
            match self.socket.as_mut().unwrap().read(&mut buffer) {
                Ok(0) => panic!("the process ended without a last word"),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn note(&mut self, output: &Output) {
        match output {
            Output::Data { lane, bytes } => {
                self.allowed = self
                    .allowed
                    .checked_sub(bytes.len())
                    .expect("it sends no more than it may");
                match lane {
                    Lane::Stdout => self.stdout.extend(bytes),
                    Lane::Stderr => self.stderr.extend(bytes),
                }
            }
            Output::Credit(bytes) => self.room += *bytes as usize,
            Output::Ended(_) => {}
        }
    }

    /// Uses all output until a condition holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let output = self.next_within(LIMIT);
            let output =
                output.unwrap_or_else(|| panic!("{what}: {:?}", String::from_utf8_lossy(&self.stdout)));
            match output {
                Output::Data { bytes, .. } => self.credit(bytes.len()),
                Output::Credit(_) => {}
                Output::Ended(end) => panic!("{what}: {end:?}"),
            }
        }
    }

    /// Uses all output to the end.
    pub(crate) fn end(&mut self) -> End {
        loop {
            match self.next_within(LIMIT).expect("a last word") {
                Output::Data { bytes, .. } => self.credit(bytes.len()),
                Output::Credit(_) => {}
                Output::Ended(end) => {
                    assert!(self.child.wait().unwrap().success());
                    return end;
                }
            }
        }
    }

    /// Sends all of it, as room comes, and the end.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(60_000) {
            self.until("room for input", |stream| stream.room >= part.len());
            self.say(Input::Data(part.to_vec()));
        }
        self.say(Input::End);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
