//! TAPs and what is written on them. The alias is the host's memory of who may send through a TAP: it lives exactly
//! as long as the TAP does.

use std::net::Ipv4Addr;

use model::{MacAddr, Subnet};

use super::{NetworkConfig, Sender};
use crate::hands::{Link, LinkKind};

const MARK: &str = "pitwall";

/// The name of the TAP for an address: its last two bytes, three in a subnet of more. At most 14 of the 15 bytes that
/// a name may have.
pub(super) fn name(subnet: Subnet, address: Ipv4Addr) -> String {
    let [_, b, c, d] = address.octets();
    if subnet.bits() >= 16 {
        format!("pw-{c}-{d}")
    } else {
        format!("pw-{b}-{c}-{d}")
    }
}

/// What is written on it.
pub(super) fn alias(sender: &Sender) -> String {
    format!("{MARK} {} {}", sender.address, sender.mac)
}

/// Who may send through this interface, if it is a TAP of ours.
pub(super) fn sender(config: &NetworkConfig, link: &Link) -> Option<Sender> {
    let ours = link.kind == LinkKind::Tun
        && link
            .bridge
            .as_deref()
            .is_none_or(|bridge| bridge == config.bridge);
    let words: Vec<&str> = link.alias.as_deref()?.split(' ').collect();
    let [MARK, address, mac] = *words.as_slice() else {
        return None;
    };
    let address: Ipv4Addr = address.parse().ok()?;
    let sender = Sender {
        tap: link.name.clone(),
        mac: parse_mac(mac)?,
        address,
    };
    (ours && config.subnet.is_vm_address(address) && name(config.subnet, address) == link.name)
        .then_some(sender)
}

/// All of them.
pub(super) fn senders(config: &NetworkConfig, links: &[Link]) -> Vec<Sender> {
    links.iter().filter_map(|link| sender(config, link)).collect()
}

fn parse_mac(text: &str) -> Option<MacAddr> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect::<Option<_>>()?;
    bytes.try_into().ok().map(MacAddr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let address = Ipv4Addr::new(172, 30, 0, 3);
        let config = NetworkConfig::default();
        let sender = Sender {
            tap: name(config.subnet, address),
            mac: MacAddr::for_vm(address),
            address,
        };
        let link = Link {
            name: sender.tap.clone(),
            kind: LinkKind::Tun,
            bridge: Some(config.bridge.clone()),
            alias: Some(alias(&sender)),
        };
        assert_eq!(sender.tap, "pw-0-3");
        assert_eq!(super::sender(&config, &link), Some(sender));
        for foreign in [
            Link {
                name: "pw-0-4".into(),
                ..link.clone()
            },
            Link {
                kind: LinkKind::Other,
                ..link.clone()
            },
            Link {
                bridge: Some("br0".into()),
                ..link.clone()
            },
            Link {
                alias: None,
                ..link.clone()
            },
            Link {
                alias: Some("pitwall 172.30.0.3 nonsense".into()),
                ..link
            },
        ] {
            assert_eq!(super::sender(&config, &foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn names_fit_into_an_interface_name() {
        let wide: Subnet = "10.0.0.0/8".parse().unwrap();
        assert_eq!(name(wide, Ipv4Addr::new(10, 255, 255, 254)), "pw-255-255-254");
    }
}
