//! The guest's end of the control channel: guest frames over what the VMM offers to carry them.
//!
//! ```text
//!   Port ─► Line ─┬─ Serial   a virtio-serial port: QEMU
//!                 └─ Vsock    connections that the host makes: Firecracker
//! ```
//!
//! The channel outlives its reader on the host. When that one goes, half a frame is forgotten, and what is said
//! meanwhile is dropped: a host that comes back says Hello and is told everything.
//!
//! Nothing here waits for a host that reads slowly: what it does not take is kept in the outbox. Whoever has much to
//! say asks first whether there is room.

mod outbox;
mod serial;
mod vsock;

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame, HostHello, agree};

use super::error::{Error, chain};
use super::kmsg;
use outbox::Outbox;
use serial::Serial;
use vsock::Vsock;

/// A driver reports its ports a moment after it loaded.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// What the host gets to take the rest before the last word.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);
/// A host that is connected but does not read for this long does not hear the last word.
const HOST_READS_WITHIN: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What carries the bytes. Its descriptor is readable when there is something to hear, and is watched for changes only.
trait Line: AsFd + fmt::Debug {
    /// What the host said, without waiting for it.
    fn hear(&mut self, buffer: &mut [u8]) -> Heard;

    /// Writes as much as fits now.
    fn put(&mut self, bytes: &[u8]) -> Put;

    /// Waits a moment for room; says whether there is some.
    fn wait_for_room(&self) -> bool;

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

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    /// So many bytes are on their way.
    Bytes(usize),
    /// There is no room now; an event tells when there is.
    Full,
    /// Nobody is there.
    Gone,
}

/// What may wait before nothing more is fetched to be said.
const ROOM: usize = 256 * 1024;

/// The open channel.
#[derive(Debug)]
pub(super) struct Port {
    line: Box<dyn Line>,
    decoder: Decoder<HostFrame>,
    outbox: Outbox,
    /// What is spoken with the host that greeted and has not gone.
    version: Option<u32>,
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
            outbox: Outbox::default(),
            version: None,
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
                    self.forget_host();
                }
                Heard::Nothing => {
                    frames.extend(self.decoded());
                    return frames;
                }
            }
        }
    }

    /// A connection begins: what was said for the one before is forgotten.
    pub(super) fn greeted(&mut self, hello: &HostHello) {
        self.outbox.begin_anew();
        // A host that has dropped all our versions is told in the answer which those are.
        self.version = agree(hello.protocol_min, hello.protocol_max).or(Some(0));
    }

    /// The version that is spoken with the host; `None` when there is none.
    pub(super) fn version(&self) -> Option<u32> {
        self.version
    }

    /// Whether there is a host that understands logs and streams, and has taken enough of what was said.
    pub(super) fn has_room(&self) -> bool {
        self.version >= Some(2) && self.outbox.len() < ROOM
    }

    /// Tells the host, if there is one, as soon as it takes it.
    pub(super) fn send(&mut self, frame: &GuestFrame) {
        if let Ok(bytes) = Encoder.encode(frame) {
            self.outbox.push(bytes);
            self.flush();
        }
    }

    /// Writes what the host takes now.
    pub(super) fn flush(&mut self) {
        while let Some(bytes) = self.outbox.front() {
            match self.line.put(bytes) {
                Put::Bytes(count) => self.outbox.advance(count),
                Put::Full => return,
                Put::Gone => self.forget_host(),
            }
        }
    }

    /// Waits a little for the host to take what was said.
    pub(super) fn settle(&mut self) {
        let start = Instant::now();
        self.flush();
        while self.outbox.len() > 0 && start.elapsed() < SETTLES_WITHIN && self.line.wait_for_room() {
            self.flush();
        }
    }

    /// The last word before the machine ends: waits until the host's side has taken it.
    pub(super) fn send_last(&mut self, frame: &GuestFrame) {
        self.settle();
        if let Ok(bytes) = Encoder.encode(frame) {
            self.line.tell_last(&bytes);
        }
    }

    fn forget_host(&mut self) {
        self.outbox.clear();
        self.version = None;
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
