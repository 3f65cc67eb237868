//! The four rtnetlink requests (RFC 3549, rtnetlink(7)) that a machine with one interface needs, and their answers.
//!
//! A request is a header, a fixed part, and attributes, each aligned to four bytes:
//!
//! ```text
//!   nlmsghdr: length u32 │ type u16 │ flags u16 │ sequence u32 │ port u32
//!   ifinfomsg, ifaddrmsg or rtmsg
//!   rtattr: length u16 │ type u16 │ value …
//! ```

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;

const NLM_F_REQUEST_ACK: u16 = 0x0001 | 0x0004;
const NLM_F_CREATE_REPLACE: u16 = 0x0400 | 0x0100;

const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
/// The gateway counts as a neighbour even if no address of the interface covers it.
const RTNH_F_ONLINK: u32 = 4;

/// A socket to the kernel's routing tables.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> Result<Self, Errno> {
        socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )
        .map(Self)
    }

    /// Brings an interface up.
    pub(super) fn link_up(&self, index: u32) -> Result<(), Errno> {
        let mut message = vec![0, 0, 0, 0]; // family, padding, device type
        message.extend_from_slice(&index.to_ne_bytes());
        message.extend_from_slice(&IFF_UP.to_ne_bytes());
        message.extend_from_slice(&IFF_UP.to_ne_bytes()); // which flags change
        self.request(RTM_NEWLINK, 0, &message)
    }

    /// Gives an interface an address.
    pub(super) fn address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), Errno> {
        let mut message = vec![AF_INET, prefix, 0, 0];
        message.extend_from_slice(&index.to_ne_bytes());
        attribute(&mut message, IFA_LOCAL, &address.octets());
        attribute(&mut message, IFA_ADDRESS, &address.octets());
        if prefix < 31 {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            attribute(
                &mut message,
                IFA_BROADCAST,
                &(address.to_bits() | host).to_be_bytes(),
            );
        }
        self.request(RTM_NEWADDR, NLM_F_CREATE_REPLACE, &message)
    }

    /// Sends everything else through a gateway.
    pub(super) fn default_route(&self, index: u32, gateway: Ipv4Addr) -> Result<(), Errno> {
        let (destination_bits, source_bits, tos, scope) = (0, 0, 0, 0);
        let mut message = vec![
            AF_INET,
            destination_bits,
            source_bits,
            tos,
            RT_TABLE_MAIN,
            RTPROT_BOOT,
            scope,
            RTN_UNICAST,
        ];
        message.extend_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
        attribute(&mut message, RTA_GATEWAY, &gateway.octets());
        attribute(&mut message, RTA_OIF, &index.to_ne_bytes());
        self.request(RTM_NEWROUTE, NLM_F_CREATE_REPLACE, &message)
    }

    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), Errno> {
        send(
            &self.0,
            &frame(kind, flags | NLM_F_REQUEST_ACK, body),
            SendFlags::empty(),
        )?;
        let mut answer = [0; 4096];
        let (count, _) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        verdict(answer.get(..count).unwrap_or_default())
    }
}

fn frame(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    const HEADER: usize = 16;
    let length = u32::try_from(body.len().saturating_add(HEADER)).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    message
}

/// Only values of four bytes occur, so no padding is needed.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8; 4]) {
    message.extend_from_slice(&8u16.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
}

/// An acknowledgement is an NLMSG_ERROR whose number is 0; what exists already is as good.
fn verdict(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let number = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(number)) => match Errno::from_raw_os_error(number.saturating_neg()) {
            Errno::EXIST => Ok(()),
            errno => Err(errno),
        },
        _ => Err(Errno::BADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_its_own_length() {
        let message = frame(RTM_NEWLINK, NLM_F_REQUEST_ACK, &[0; 16]);
        assert_eq!(message.len(), 32);
        assert_eq!(message[..4], 32u32.to_ne_bytes());
        assert_eq!(message[4..8], [16, 0, 5, 0]);
    }

    #[test]
    fn the_kernel_answers_the_loopback() {
        // Needs no right to change anything: without it the answer is EPERM, which also shows that it was understood.
        let lo = std::fs::read_to_string("/sys/class/net/lo/ifindex")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let answer = Netlink::open().unwrap().link_up(lo);
        assert!(matches!(answer, Ok(()) | Err(Errno::PERM)), "{answer:?}");
        let nowhere = Netlink::open().unwrap().link_up(999_999);
        assert!(matches!(nowhere, Err(Errno::NODEV | Errno::PERM)), "{nowhere:?}");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert_eq!(verdict(b"short"), Err(Errno::BADMSG));
    }
}
