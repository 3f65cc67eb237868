//! Where a request comes from: the connection's peer, or who a trusted proxy says is behind it.
//!
//! `X-Forwarded-For` is a list to which each proxy adds the address it was reached from. Anybody can send one, so it is read
//! from its end, and only as far as trusted proxies wrote it: the first address that is no trusted proxy's is the client.
//!
//! What always holds: a peer outside of the trusted networks is the client, whatever it sends.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use http::header::HeaderName;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks, as an address. An extension of every request that came by a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `ADDRESS` or `ADDRESS/BITS`.
    #[error("{0:?} is not a network: write it as 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
    Form(String),
    /// Bits of the host part are set.
    #[error("{0:?} has bits set behind its prefix")]
    HostBits(String),
}

/// The addresses that share a prefix, of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address that is written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                prefix(u128::from(network.to_bits()) << 96, self.bits)
                    == prefix(u128::from(address.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                prefix(network.to_bits(), self.bits) == prefix(address.to_bits(), self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first bits, the rest zero.
const fn prefix(value: u128, bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => value & (u128::MAX << (128 - bits)),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let form = || NetworkError::Form(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| form())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let (value, longest) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let bits = bits.unwrap_or(longest);
        if bits > longest {
            return Err(form());
        }
        if prefix(value, bits) != value {
            return Err(NetworkError::HostBits(text.to_owned()));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The client behind a connection, see the top of this module. What a trusted proxy wrote and is no address ends the
/// walk: the last address that was understood counts.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> ClientAddress {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    while is_trusted(client) {
        match hops.next().and_then(hop) {
            Some(behind) => client = behind,
            None => break,
        }
    }
    ClientAddress(client)
}

/// One address of the list; some proxies add the port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let address = match bare {
        Some((address, _)) => address,
        None => text,
    };
    let with_port = || text.parse().map(|socket: std::net::SocketAddr| socket.ip()).ok();
    let address: IpAddr = address.parse().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "fd00::/8", "127.0.0.1"];

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<Network> = PROXIES.iter().map(|text| text.parse().unwrap()).collect();
        let line = |line: &&str| (FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        client_address(peer.parse().unwrap(), &headers, &trusted)
            .0
            .to_string()
    }

    #[test]
    fn a_forwarded_address_counts_only_from_trusted_proxies() {
        for (peer, lines, expected) in [
            // Nobody in between, and somebody who only says so.
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("2001:db8::1", &["198.51.100.7"], "2001:db8::1"),
            // One proxy; its client may have sent a list of its own.
            ("10.1.2.3", &["198.51.100.7"], "198.51.100.7"),
            ("10.1.2.3", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.1.2.3", &["10.9.9.9, 198.51.100.7"], "198.51.100.7"),
            // Several, in one line or many.
            ("10.1.2.3", &["198.51.100.7, 10.4.4.4,127.0.0.1"], "198.51.100.7"),
            ("10.1.2.3", &["198.51.100.7", "10.4.4.4"], "198.51.100.7"),
            ("10.1.2.3", &["10.5.5.5, 10.4.4.4"], "10.5.5.5"),
            // IPv6, with brackets and ports as some proxies write them.
            ("fd00::2", &["2001:db8::7"], "2001:db8::7"),
            ("fd00::2", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.1.2.3", &["198.51.100.7:4711"], "198.51.100.7"),
            ("::ffff:10.1.2.3", &["::ffff:198.51.100.7"], "198.51.100.7"),
            // Junk ends the walk where it stands.
            ("10.1.2.3", &["unknown"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.7, _hidden"], "10.1.2.3"),
            ("10.1.2.3", &["_hidden, 10.4.4.4"], "10.4.4.4"),
            ("10.1.2.3", &[""], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.7,"], "10.1.2.3"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn without_trusted_proxies_the_header_is_nothing() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(client_address(peer, &headers, &[]).0, peer);
    }

    #[test]
    fn networks_are_read_whole_or_not_at_all() {
        let network = |text: &str| text.parse::<Network>();
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(
            network("0.0.0.0/0")
                .unwrap()
                .contains("192.0.2.7".parse().unwrap())
        );
        assert!(
            !network("0.0.0.0/0")
                .unwrap()
                .contains("2001:db8::1".parse().unwrap())
        );
        assert!(
            !network("192.0.2.0/25")
                .unwrap()
                .contains("192.0.2.128".parse().unwrap())
        );
        assert_eq!(
            network("10.0.0.1/8"),
            Err(NetworkError::HostBits("10.0.0.1/8".into()))
        );
        for form in ["", "10.0.0.0/33", "::/129", "10/8", "localhost", "10.0.0.0/"] {
            assert_eq!(network(form), Err(NetworkError::Form(form.into())));
        }
    }
}
