//! Connections over a virtio socket device (vsock(7)): the guest listens, the host connects.
//!
//! A newer connection takes the place of an older one: there is one host, and it knows which it means. Only the host
//! is let in. Processes of the guest can reach the port too, over the kernel's loopback, and are turned away by the
//! address they come from.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, getpeername, listen, setsockopt,
    socket, sockopt,
};
use rustix::event::epoll;
use wire::guest::VSOCK_PORT;

use super::{Heard, Line, Put, is_writable, write_all};
use crate::init::error::Error;

/// The device's number (virtio 1.2 section 5).
const DEVICE: &str = "0x0013";

/// Seconds that the host's side has to take the last word.
const TAKEN_WITHIN: libc::c_int = 2;

/// The listening socket, and the connection that counts.
#[derive(Debug)]
pub(super) struct Vsock {
    /// Both sockets behind one descriptor: which they are changes, who watches it need not know.
    watched: OwnedFd,
    listener: OwnedFd,
    connection: Option<File>,
}

/// Whether there is such a device.
pub(super) fn is_there() -> bool {
    is_among(Path::new("/sys/bus/virtio/devices"))
}

fn is_among(devices: &Path) -> bool {
    let entries = fs::read_dir(devices).into_iter().flatten().filter_map(Result::ok);
    let mut numbers = entries.filter_map(|entry| fs::read_to_string(entry.path().join("device")).ok());
    numbers.any(|number| number.trim() == DEVICE)
}

impl Vsock {
    pub(super) fn listen() -> Result<Self, Error> {
        let failed = |source: std::io::Error| Error::Descriptor("control socket", source);
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Vsock, SockType::Stream, flags, None)
            .map_err(|errno| failed(errno.into()))?;
        bind(
            listener.as_raw_fd(),
            &VsockAddr::new(libc::VMADDR_CID_ANY, VSOCK_PORT),
        )
        .and_then(|()| listen(&listener, Backlog::new(4)?))
        .map_err(|errno| failed(errno.into()))?;
        let watched = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        watch(&watched, listener.as_fd()).map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            watched,
            listener,
            connection: None,
        })
    }

    /// The newest connection of the host, if there is a new one.
    fn accept(&self) -> Option<File> {
        let mut newest = None;
        while let Some(connection) = self.accept_one() {
            if is_hosts(&connection) && watch(&self.watched, connection.as_fd()).is_ok() {
                newest = Some(connection);
            }
        }
        newest.map(File::from)
    }

    #[expect(unsafe_code, reason = "nix gives an accepted descriptor as a plain number")]
    fn accept_one(&self) -> Option<OwnedFd> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let number = accept4(self.listener.as_raw_fd(), flags).ok()?;
        // SAFETY: accept4(2) returned it just now, so it is open and nobody else's.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }
}

impl Line for Vsock {
    fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        loop {
            let Some(mut connection) = self.connection.as_ref() else {
                self.connection = self.accept();
                match self.connection {
                    Some(_) => continue,
                    None => return Heard::Nothing,
                }
            };
            match connection.read(buffer) {
                Ok(count) if count > 0 => return Heard::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let Some(newer) = self.accept() else {
                        return Heard::Nothing;
                    };
                    self.connection = Some(newer);
                    return Heard::End;
                }
                Ok(_) | Err(_) => {
                    self.connection = None;
                    return Heard::End;
                }
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Put {
        loop {
            let Some(mut connection) = self.connection.as_ref() else {
                return Put::Gone;
            };
            match connection.write(bytes) {
                Ok(count) => return Put::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Put::Full,
                Err(_) => self.connection = None,
            }
        }
    }

    fn wait_for_room(&self) -> bool {
        self.connection.as_ref().is_some_and(is_writable)
    }

    fn tell_last(&mut self, bytes: &[u8]) {
        // Half a frame is worse than none.
        self.connection
            .take_if(|connection| !write_all(connection, bytes));
        if let Some(connection) = self.connection.take() {
            let patience = libc::linger {
                l_onoff: 1,
                l_linger: TAKEN_WITHIN,
            };
            // Closing then waits until the host's side has answered the end, and so has read what came before it.
            let _ = setsockopt(&connection, sockopt::Linger, &patience);
        }
    }
}

impl AsFd for Vsock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}

fn watch(watched: &OwnedFd, socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    epoll::add(
        watched,
        socket,
        epoll::EventData::new_u64(0),
        epoll::EventFlags::IN | epoll::EventFlags::OUT,
    )
}

fn is_hosts(connection: &OwnedFd) -> bool {
    getpeername::<VsockAddr>(connection.as_raw_fd()).is_ok_and(|peer| peer.cid() == libc::VMADDR_CID_HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_found_by_its_number() {
        let devices = tempfile::tempdir().unwrap();
        let device = |name: &str, number: &str| {
            fs::create_dir(devices.path().join(name)).unwrap();
            fs::write(devices.path().join(name).join("device"), number).unwrap();
        };
        assert!(!is_among(devices.path()));
        device("virtio0", "0x0002\n");
        assert!(!is_among(devices.path()));
        device("virtio1", "0x0013\n");
        assert!(is_among(devices.path()));
    }

    /// The set is never asked which of its sockets it was; a watcher of the set must wake up for each change all the same.
    #[test]
    fn whoever_watches_the_set_wakes_up_when_there_is_room_again() {
        use std::io::Write;
        use std::os::unix::net::UnixStream;

        let (mut ours, mut hosts) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        watch(&set, ours.as_fd()).unwrap();
        let watcher = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let changes = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&watcher, &set, epoll::EventData::new_u64(7), changes).unwrap();
        let wakes = || {
            let mut events = Vec::with_capacity(2);
            let limit = rustix::event::Timespec::default();
            epoll::wait(
                &watcher,
                rustix::buffer::spare_capacity(&mut events),
                Some(&limit),
            )
            .unwrap()
                > 0
        };
        assert!(wakes(), "there is room at first");
        while ours.write(&[0; 4096]).is_ok() {}
        while wakes() {}
        assert!(!wakes());
        let mut taken = vec![0; 1 << 20];
        assert!(hosts.read(&mut taken).unwrap() > 100_000);
        assert!(wakes(), "there is room again");
        while wakes() {}
        hosts.write_all(b"word").unwrap();
        assert!(wakes(), "there is something to hear");
    }
}
