//! A VM for the network's purposes: a namespace whose interface is pumped to and from its TAP, as a VMM would.

#![expect(clippy::unwrap_used, reason = "a test's own VM may stop the test")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use model::{MacAddr, Subnet};
use nix::libc;

use crate::namespace::Namespace;

/// Makes a VM behind a TAP that is there.
pub(crate) fn vm(tap: &str, address: Ipv4Addr, mac: MacAddr) -> Namespace {
    let vm = Namespace::new();
    let host_end = open(tap);
    let vm_end = vm.call(|| open("eth0"));
    vm.run(&format!("ip link set eth0 address {mac} up"));
    vm.run(&format!(
        "ip addr add {address}/{} dev eth0",
        Subnet::DEFAULT.bits()
    ));
    vm.run(&format!("ip route add default via {}", Subnet::DEFAULT.gateway()));
    pump(host_end.try_clone().unwrap(), vm_end.try_clone().unwrap());
    pump(vm_end, host_end);
    vm
}

fn pump(mut from: File, mut to: File) {
    std::thread::spawn(move || {
        let mut frame = [0; 65_536];
        while let Ok(length) = from.read(&mut frame) {
            if to.write_all(&frame[..length]).is_err() {
                return;
            }
        }
    });
}

#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn open(name: &str) -> File {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    // SAFETY: `ifreq` is made of integers and arrays of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap();
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is alive.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(answer, 0, "{name}: {}", std::io::Error::last_os_error());
    device
}
