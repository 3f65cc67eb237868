//! Where somebody may come from: the lists in certificates and in `authorized_keys`.
//!
//! Both are compared with the client's address only. Names are never asked for: the answer would be in the hands of
//! whoever holds the address.

use std::net::IpAddr;

/// An address and the length of its prefix in bits.
struct Block {
    address: IpAddr,
    prefix: u32,
}

/// Pure: whether an address is in a list of addresses and blocks, `192.0.2.1,2001:db8::/32` (OpenSSH
/// PROTOCOL.certkeys, `source-address`). `None` when the list says anything else, and then it must open nothing.
pub(super) fn within(list: &str, address: IpAddr) -> Option<bool> {
    let blocks: Vec<Block> = list.split(',').map(Block::parse).collect::<Option<_>>()?;
    Some(blocks.iter().any(|block| block.holds(address)))
}

/// Pure: whether an address matches a list of patterns (sshd(8), `from=`; ssh_config(5), PATTERNS): addresses,
/// blocks, and text with `*` and `?`. One that begins with `!` and matches refuses, whatever else matches.
pub(super) fn matches(list: &str, address: IpAddr) -> bool {
    let text = address.to_string();
    let mut well = false;
    for element in list.split(',').map(str::trim) {
        let (pattern, negated) = match element.strip_prefix('!') {
            Some(pattern) => (pattern, true),
            None => (element, false),
        };
        let fits = match Block::parse(pattern) {
            Some(block) => block.holds(address),
            // Something like 10.0.0.0/33, of which nobody knows what it was to refuse.
            None if pattern.contains('/') => return false,
            None => glob(pattern.as_bytes(), text.as_bytes()),
        };
        match (fits, negated) {
            (true, true) => return false,
            (true, false) => well = true,
            (false, _) => {}
        }
    }
    well
}

impl Block {
    /// Takes `ADDRESS` and `ADDRESS/BITS`; the bits behind the prefix must be 0, as for OpenSSH.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
        let block = Self { address, prefix };
        let rest = bits(address).checked_shl(prefix.checked_add(128_u32.checked_sub(width)?)?);
        (prefix <= width && rest.unwrap_or(0) == 0).then_some(block)
    }

    fn holds(&self, address: IpAddr) -> bool {
        let Some(free) = width(self.address).checked_sub(self.prefix) else {
            return false;
        };
        let network = |address| bits(address).checked_shr(free).unwrap_or(0);
        self.address.is_ipv4() == address.is_ipv4() && network(self.address) == network(address)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// `*` is any text, `?` any character. Goes back to the last `*` only, so that no pattern takes long.
fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // What stands behind that `*`, and the text from which it was tried last.
    let mut back = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', behind)), _) => {
                back = Some((behind, text));
                pattern = behind;
            }
            (Some((wanted, behind)), Some((found, rest)))
                if *wanted == b'?' || wanted.eq_ignore_ascii_case(found) =>
            {
                (pattern, text) = (behind, rest);
            }
            (Some(_), _) | (None, Some(_)) => match back {
                Some((behind, [_, rest @ ..])) => {
                    back = Some((behind, rest));
                    (pattern, text) = (behind, rest);
                }
                Some((_, [])) | None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_certificates_list_is_of_addresses_and_blocks() {
        for (list, address, expected) in [
            ("192.0.2.1", "192.0.2.1", Some(true)),
            ("192.0.2.1", "192.0.2.2", Some(false)),
            ("10.0.0.0/8,192.0.2.0/24", "192.0.2.200", Some(true)),
            ("192.0.2.128/25", "192.0.2.127", Some(false)),
            ("0.0.0.0/0", "198.51.100.7", Some(true)),
            ("0.0.0.0/0", "2001:db8::1", Some(false)),
            ("2001:db8::/32", "2001:db8:1::1", Some(true)),
            ("::/0", "192.0.2.1", Some(false)),
            ("2001:db8::1", "2001:db8::1", Some(true)),
            ("192.0.2.1/24", "192.0.2.1", None),
            ("192.0.2.0/33", "192.0.2.1", None),
            ("192.0.2.*", "192.0.2.1", None),
            ("192.0.2.1,", "192.0.2.1", None),
            ("!192.0.2.1", "192.0.2.1", None),
            ("", "192.0.2.1", None),
        ] {
            assert_eq!(within(list, ip(address)), expected, "{list} and {address}");
        }
    }

    #[test]
    fn a_keys_list_is_of_patterns_and_a_negated_one_wins() {
        for (list, address, expected) in [
            ("192.0.2.*", "192.0.2.9", true),
            ("192.0.?.1", "192.0.2.1", true),
            ("192.0.?.1", "192.0.22.1", false),
            ("192.0.2.0/24,!192.0.2.9", "192.0.2.9", false),
            ("!192.0.2.9,192.0.2.0/24", "192.0.2.8", true),
            ("!192.0.2.9", "192.0.2.8", false),
            ("*,192.0.2.0/99", "192.0.2.8", false),
            ("host.example", "192.0.2.8", false),
            ("2001:DB8::*", "2001:db8::7", true),
            ("10.0.0.1, 192.0.2.8", "192.0.2.8", true),
            ("1*2*.8", "192.0.2.8", true),
            ("*9?.*.8", "192.0.2.8", true),
            ("*9?.*.8?", "192.0.2.8", false),
            ("**", "192.0.2.8", true),
            ("", "192.0.2.8", false),
        ] {
            assert_eq!(matches(list, ip(address)), expected, "{list} and {address}");
        }
    }
}
