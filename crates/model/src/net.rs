//! Addresses of a host's own network: a subnet, and the MAC address that follows from an address in it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Text that is not a usable subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not `ADDRESS/BITS`.
    #[error("{0:?} is not a subnet: write it as 172.30.0.0/16")]
    Form(String),
    /// Too few addresses for a gateway, a kept one and a VM, or more than a /8.
    #[error("/{0} is not a usable prefix length here: choose 8 to 29")]
    Length(u8),
    /// Bits of the host part are set.
    #[error("{0} has bits set behind its prefix; the subnet is {1}")]
    HostBits(String, Subnet),
}

/// An IPv4 subnet with room for VMs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: u32,
    bits: u8,
}

impl Subnet {
    /// The documented default, 172.30.0.0/16.
    pub const DEFAULT: Self = Self {
        network: 0xAC1E_0000,
        bits: 16,
    };

    /// The network address.
    pub const fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network)
    }

    /// The prefix length.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// The host's own address on the bridge: the first.
    pub const fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network + 1)
    }

    /// The addresses that VMs may get, in order: from .3 (the gateway is .1, and .2 is kept) to the last before
    /// broadcast.
    pub fn vm_addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.network + 3..self.last()).map(Ipv4Addr::from_bits)
    }

    /// Whether a VM may have this address.
    pub const fn is_vm_address(self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        bits >= self.network + 3 && bits < self.last()
    }

    /// How far an address is from the subnet's first, its network address.
    pub const fn offset(self, address: Ipv4Addr) -> u32 {
        address.to_bits().wrapping_sub(self.network)
    }

    /// Whether the two share an address.
    pub const fn overlaps(self, other_network: Ipv4Addr, other_bits: u8) -> bool {
        let shorter = if self.bits < other_bits {
            self.bits
        } else {
            other_bits
        };
        let mask = mask(shorter);
        self.network & mask == other_network.to_bits() & mask
    }

    const fn last(self) -> u32 {
        self.network | !mask(self.bits)
    }
}

const fn mask(bits: u8) -> u32 {
    if bits == 0 { 0 } else { u32::MAX << (32 - bits) }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let form = || SubnetError::Form(text.to_owned());
        let (address, bits) = text.split_once('/').ok_or_else(form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        let bits: u8 = bits.parse().map_err(|_| form())?;
        if !(8..=29).contains(&bits) {
            return Err(SubnetError::Length(bits));
        }
        let subnet = Self {
            network: address.to_bits() & mask(bits),
            bits,
        };
        if subnet.network == address.to_bits() {
            Ok(subnet)
        } else {
            Err(SubnetError::HostBits(text.to_owned(), subnet))
        }
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.bits)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// The address with these six bytes.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The locally administered, unicast address (IEEE 802 section 8.4) of the VM that holds `address`: two fixed
    /// bytes and the address, so two VMs of one subnet never share one. The gateway's, likewise, is the bridge's.
    pub const fn for_vm(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x06, 0x70, a, b, c, d])
    }

    /// The six bytes.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_subnet_gives_the_documented_addresses() {
        let subnet: Subnet = "172.30.0.0/16".parse().unwrap();
        assert_eq!(subnet, Subnet::DEFAULT);
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 30, 0, 1));
        assert_eq!(subnet.vm_addresses().next(), Some(Ipv4Addr::new(172, 30, 0, 3)));
        assert_eq!(
            subnet.vm_addresses().last(),
            Some(Ipv4Addr::new(172, 30, 255, 254))
        );
        assert!(!subnet.is_vm_address(Ipv4Addr::new(172, 30, 0, 2)));
        assert!(!subnet.is_vm_address(Ipv4Addr::new(172, 31, 0, 3)));
    }

    #[test]
    fn overlap_looks_at_the_shorter_prefix() {
        let subnet = Subnet::DEFAULT;
        assert!(subnet.overlaps(Ipv4Addr::new(172, 16, 0, 0), 12));
        assert!(subnet.overlaps(Ipv4Addr::new(172, 30, 4, 0), 24));
        assert!(!subnet.overlaps(Ipv4Addr::new(172, 31, 0, 0), 16));
    }

    #[test]
    fn bad_subnets() {
        for bad in [
            "172.30.0.0",
            "172.30.0.0/7",
            "172.30.0.0/30",
            "172.30.0.1/16",
            "x/16",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }
}
