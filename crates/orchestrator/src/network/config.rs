//! What can be chosen about the host's network.

use std::net::Ipv4Addr;

use model::Subnet;

use crate::hands::{Family, Table};

/// The host's network, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The bridge's name.
    pub bridge: String,
    /// Where VMs get their addresses from.
    pub subnet: Subnet,
    /// The interface that leads outside; without one, that of the default route.
    pub outbound: Option<String>,
    /// Name servers to tell VMs of, instead of those of the host.
    pub resolvers: Vec<Ipv4Addr>,
    /// The name of our nftables tables.
    pub table: String,
    /// The user number that stands for the subnet's network address; a VM's is as far above as its address.
    pub first_owner: u32,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: "pwbr0".to_owned(),
            subnet: Subnet::DEFAULT,
            outbound: None,
            resolvers: Vec::new(),
            table: "pitwall".to_owned(),
            first_owner: Self::FIRST_OWNER,
        }
    }
}

impl NetworkConfig {
    /// Above all users of people, of containers and of services that systemd invents, below the numbers that some
    /// programs take for negative; there is room for a subnet of /8.
    pub const FIRST_OWNER: u32 = 0x7000_0000;

    /// The user and group that what belongs to the VM with this address belongs to.
    pub(super) fn owner(&self, address: Ipv4Addr) -> u32 {
        self.first_owner.wrapping_add(self.subnet.offset(address))
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        [Family::Ip, Family::Bridge]
            .map(|family| Table {
                family,
                name: self.table.clone(),
            })
            .to_vec()
    }
}
