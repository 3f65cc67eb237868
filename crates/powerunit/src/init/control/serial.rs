//! A virtio-serial port.
//!
//! While nobody is connected on the host, reads return 0, writes would block, and the descriptor reports a hang-up for
//! as long as it lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Heard, Line, Put, is_writable, write_all};
use crate::init::error::Error;

/// The name that the VMM gives the port.
pub(super) const NAME: &str = "pw.ctl";

/// The open port.
#[derive(Debug)]
pub(super) struct Serial {
    file: File,
    /// Nobody was connected at the last read.
    alone: bool,
}

impl Serial {
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path);
        Ok(Self {
            file: file.map_err(Error::file("open", path))?,
            alone: true,
        })
    }

    /// Whether nobody is connected now.
    fn is_alone(&self) -> bool {
        let mut ports = [PollFd::new(&self.file, PollFlags::OUT)];
        let _ = poll(&mut ports, Some(&Timespec::default()));
        ports.iter().any(|port| port.revents().contains(PollFlags::HUP))
    }
}

impl Line for Serial {
    fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        loop {
            match self.file.read(buffer) {
                Ok(0) if self.alone => return Heard::Nothing,
                Ok(0) => {
                    self.alone = true;
                    return Heard::End;
                }
                Ok(count) => {
                    self.alone = false;
                    return Heard::Bytes(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Nothing,
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Put {
        loop {
            match self.file.write(bytes) {
                Ok(count) => return Put::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What a host has of half a frame it passes over: the next one begins with its own mark.
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_alone() => return Put::Full,
                Err(_) => return Put::Gone,
            }
        }
    }

    fn wait_for_room(&self) -> bool {
        is_writable(&self.file)
    }

    fn tell_last(&mut self, bytes: &[u8]) {
        // A blocking write returns when the VMM has taken the bytes.
        if is_writable(&self.file)
            && let Ok(flags) = fcntl_getfl(&self.file)
        {
            let _ = fcntl_setfl(&self.file, flags.difference(OFlags::NONBLOCK));
        }
        write_all(&self.file, bytes);
    }
}

impl AsFd for Serial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The port's device, if it is there.
pub(super) fn find() -> Option<PathBuf> {
    find_in(Path::new("/sys/class/virtio-ports")).filter(|path| path.exists())
}

fn find_in(ports: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(ports).ok()?.filter_map(Result::ok);
    let port = entries
        .find(|entry| fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == NAME))?;
    Some(Path::new("/dev").join(port.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let ports = tempfile::tempdir().unwrap();
        for (port, name) in [("vport0p1", "other\n"), ("vport0p2", "pw.ctl\n")] {
            fs::create_dir(ports.path().join(port)).unwrap();
            fs::write(ports.path().join(port).join("name"), name).unwrap();
        }
        assert_eq!(find_in(ports.path()), Some("/dev/vport0p2".into()));
        assert_eq!(find_in(&ports.path().join("vport0p1")), None);
    }
}
