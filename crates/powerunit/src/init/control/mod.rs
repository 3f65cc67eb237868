//! The guest's end of the control channel: guest frames over what the VMM offers to carry them.
//!
//! ```text
//!   Port ─► Line ─┬─ Serial   a virtio-serial port: QEMU
//!                 └─ Vsock    connections that the host makes: Firecracker
//! ```
//!
//! The channel outlives its reader on the host. When that one goes, half a frame is forgotten, and what is said
//! meanwhile is dropped: a host that comes back says Hello and is told everything.

mod serial;
mod vsock;

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame};

use super::error::{Error, chain};
use super::kmsg;
use serial::Serial;
use vsock::Vsock;

/// A driver reports its ports a moment after it loaded.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// A host that is connected but does not read for this long is treated as gone.
const HOST_READS_WITHIN: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What carries the bytes. Its descriptor is readable when there is something to hear, and is watched for changes only.
trait Line: AsFd + fmt::Debug {
    /// What the host said, without waiting for it.
    fn hear(&mut self, buffer: &mut [u8]) -> Heard;

    /// Tells the host, if there is one: all of it, or nothing that it would take for a frame.
    fn tell(&mut self, bytes: &[u8]);

    /// The last word before the machine ends: waits until the host's side has taken it.
    fn tell_last(&mut self, bytes: &[u8]);
}

/// What came of listening.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The host has gone, and what comes next is another's.
    End,
}

/// The open channel.
#[derive(Debug)]
pub(super) struct Port {
    line: Box<dyn Line>,
    decoder: Decoder<HostFrame>,
}

impl Port {
    /// Opens whichever line appears first.
    pub(super) fn open() -> Result<Self, Error> {
        let start = Instant::now();
        let line: Box<dyn Line> = loop {
            if let Some(path) = serial::find() {
                break Box::new(Serial::open(path)?);
            }
            if vsock::is_there() {
                break Box::new(Vsock::listen()?);
            }
            if start.elapsed() > APPEARS_WITHIN {
                return Err(Error::NoControlPort(serial::NAME));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Self {
            line,
            decoder: Decoder::default(),
        })
    }

    /// Everything the host has said since the last call.
    pub(super) fn receive(&mut self) -> Vec<HostFrame> {
        let mut buffer = [0; 4096];
        let mut frames = Vec::new();
        loop {
            match self.line.hear(&mut buffer) {
                Heard::Bytes(count) => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Heard::End => {
                    frames.extend(self.decoded());
                    self.decoder.reset();
                }
                Heard::Nothing => {
                    frames.extend(self.decoded());
                    return frames;
                }
            }
        }
    }

    /// Tells the host, if there is one.
    pub(super) fn send(&mut self, frame: &GuestFrame) {
        if let Ok(bytes) = Encoder.encode(frame) {
            self.line.tell(&bytes);
        }
    }

    /// The last word before the machine ends: waits until the host's side has taken it.
    pub(super) fn send_last(&mut self, frame: &GuestFrame) {
        if let Ok(bytes) = Encoder.encode(frame) {
            self.line.tell_last(&bytes);
        }
    }

    fn decoded(&mut self) -> Vec<HostFrame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.decoder.next_frame() {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    kmsg::problem(&error);
                    let message = chain(&error);
                    self.send(&GuestFrame::Failed {
                        code: "frame_invalid".to_owned(),
                        message,
                    });
                }
            }
        }
        frames
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

/// Writes all of it to a descriptor that does not block, waiting a little for a host that reads slowly. Says whether
/// that worked.
fn write_all(mut file: &File, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && is_writable(file) => {}
            Err(_) => return false,
        }
    }
    true
}

fn is_writable(file: &File) -> bool {
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    let ready = poll(&mut files, Some(&HOST_READS_WITHIN));
    ready == Ok(1) && files.iter().all(|file| !file.revents().contains(PollFlags::HUP))
}
