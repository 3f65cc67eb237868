//! The network card's other end. It is opened here, so that the VMM needs neither the device nor the host's network.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

use crate::DriverError;

const DEVICE: &str = "/dev/net/tun";

/// Opens a TAP that exists. Frames come with the header that virtio has, too (Documentation/networking/tuntap.rst).
pub(super) fn open(name: &str) -> Result<File, DriverError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .and_then(|device| attach(&device, name).map(|()| device));
    opened.map_err(|source| DriverError::Folder {
        operation: "open the TAP",
        path: name.into(),
        source,
    })
}

#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn attach(device: &File, name: &str) -> io::Result<()> {
    // One that is not there would be made.
    nix::net::if_::if_nametoindex(name)?;
    // SAFETY: all fields of `ifreq` are integers or arrays and unions of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for the whole call, and TUNSETIFF reads and writes one `ifreq`, which
    // `request` is and which lives on after the call.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
