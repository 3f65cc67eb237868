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
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: "pwbr0".to_owned(),
            subnet: Subnet::DEFAULT,
            outbound: None,
            resolvers: Vec::new(),
            table: "pitwall".to_owned(),
        }
    }
}

impl NetworkConfig {
    pub(super) fn tables(&self) -> Vec<Table> {
        [Family::Ip, Family::Bridge]
            .map(|family| Table {
                family,
                name: self.table.clone(),
            })
            .to_vec()
    }
}
