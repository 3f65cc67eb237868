//! The guest's end of the control channel: a virtio-serial port with guest frames on it.
//!
//! The port outlives its reader on the host. While nobody is connected there, reads return 0, writes would block,
//! and the descriptor reports a hang-up for as long as it lasts; so it is watched edge-triggered, half a frame is
//! forgotten, and what is said meanwhile is dropped: a host that comes back says Hello and is told everything.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use wire::guest::{Decoder, Encoder, GuestFrame, HostFrame};

use super::error::{Error, chain};
use super::kmsg;

/// The name that the VMM gives the port.
const NAME: &str = "pw.ctl";
/// The driver reports its ports a moment after it loaded.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// A host that is connected but does not read for this long is treated as gone.
const HOST_READS_WITHIN: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// The open port.
#[derive(Debug)]
pub(super) struct Port {
    file: File,
    decoder: Decoder<HostFrame>,
}

impl Port {
    /// Opens the port as soon as it is there.
    pub(super) fn open() -> Result<Self, Error> {
        let start = Instant::now();
        let path = loop {
            match find(Path::new("/sys/class/virtio-ports")) {
                Some(path) if path.exists() => break path,
                Some(_) | None if start.elapsed() > APPEARS_WITHIN => return Err(Error::NoControlPort(NAME)),
                Some(_) | None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path);
        Ok(Self {
            file: file.map_err(Error::file("open", path))?,
            decoder: Decoder::default(),
        })
    }

    /// Everything the host has said since the last call.
    pub(super) fn receive(&mut self) -> Vec<HostFrame> {
        let mut buffer = [0; 4096];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => {
                    let frames = self.decoded();
                    self.decoder.reset();
                    return frames;
                }
                Ok(count) => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.decoded(),
            }
        }
    }

    /// Tells the host, if there is one.
    pub(super) fn send(&mut self, frame: &GuestFrame) {
        let Ok(bytes) = Encoder.encode(frame) else { return };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.is_writable() => {}
                Err(_) => return,
            }
        }
    }

    /// The last word before the machine ends: waits until the host's side of the port has taken it.
    pub(super) fn send_last(&mut self, frame: &GuestFrame) {
        if self.is_writable()
            && let Ok(flags) = fcntl_getfl(&self.file)
        {
            let _ = fcntl_setfl(&self.file, flags.difference(OFlags::NONBLOCK));
        }
        self.send(frame);
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

    fn is_writable(&self) -> bool {
        let mut ports = [PollFd::new(&self.file, PollFlags::OUT)];
        let ready = poll(&mut ports, Some(&HOST_READS_WITHIN));
        ready == Ok(1) && ports.iter().all(|port| !port.revents().contains(PollFlags::HUP))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn find(ports: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(ports).ok()?.filter_map(Result::ok);
    let port = entries
        .find(|entry| fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == NAME))?;
    Some(Path::new("/dev").join(port.file_name()))
}
