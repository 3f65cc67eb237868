//! A stream's process, as PID 1 sees it.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::unistd::Pid;
use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame};
use wire::stream::{Output, WINDOW};

/// What waits for a process that does not read. A host within its credit stays below.
const MOST_WAITING: usize = 4 * WINDOW as usize;

/// What one reading takes.
const PART: usize = 16 * 1024;

/// The running child.
#[derive(Debug)]
pub(super) struct StreamChild {
    pub(super) pid: Pid,
    socket: UnixStream,
    decoder: Decoder<GuestFrame>,
    /// Frames that the socket has no room for yet.
    waiting: Vec<u8>,
    /// It may have more to say.
    pub(super) is_ready: bool,
}

/// What came of listening to a stream's process.
#[derive(Debug)]
pub(super) enum Heard {
    /// What it said.
    Said(Output),
    /// Nothing now.
    Nothing,
    /// It is gone.
    End,
}

impl StreamChild {
    /// Starts the same program with its other face.
    pub(super) fn start() -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(OsStr::new("powerunit"))
            .arg("stream")
            .env_clear()
            .current_dir("/");
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Self {
            pid: Pid::from_raw(child.id().cast_signed()),
            socket,
            decoder: Decoder::default(),
            waiting: Vec::new(),
            is_ready: false,
        })
    }

    /// Tells it, or keeps what it cannot take yet; says whether it is not too much.
    pub(super) fn tell(&mut self, frame: &HostFrame) -> bool {
        if let Ok(bytes) = Encoder.encode(frame) {
            self.waiting.extend(bytes);
        }
        self.flush();
        self.waiting.len() <= MOST_WAITING
    }

    /// Writes what the socket has room for now.
    pub(super) fn flush(&mut self) {
        let mut written: usize = 0;
        while let Some(rest) = self.waiting.get(written..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(count) => written = written.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It is gone, which reading shows too.
                Err(_) => written = self.waiting.len(),
            }
        }
        self.waiting.drain(..written);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }

    /// The next thing it said.
    pub(super) fn hear(&mut self) -> Heard {
        let mut buffer = [0; PART];
        loop {
            while let Some(frame) = self.decoder.next_frame() {
                if let Ok(GuestFrame::Output { output, .. }) = frame {
                    return Heard::Said(output);
                }
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Heard::End,
                Ok(count) => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::End,
            }
        }
    }
}

impl AsFd for StreamChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
