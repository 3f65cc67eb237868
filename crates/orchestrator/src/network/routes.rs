//! The host's routes: where its VMs' packets leave, and where no VM may have an address.

use std::net::Ipv4Addr;

use model::Subnet;

use super::NetworkError;
use crate::hands::Route;

/// A route this short is a way to everywhere, such as the two halves that VPN clients set; it is in nobody's way.
const EVERYWHERE_BITS: u8 = 3;

/// Where a free subnet is looked for: the private addresses (RFC 1918), from the least used on.
const PRIVATE: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// Refuses a subnet that the host already has a way to, and names a free one of the same size.
pub(super) fn check(subnet: Subnet, routes: &[Route], bridge: &str) -> Result<(), NetworkError> {
    match in_the_way(subnet, routes, bridge) {
        None => Ok(()),
        Some(route) => Err(NetworkError::Overlap {
            subnet,
            route: route.clone(),
            proposal: candidates(subnet.bits()).find(|free| in_the_way(*free, routes, bridge).is_none()),
        }),
    }
}

fn in_the_way<'a>(subnet: Subnet, routes: &'a [Route], bridge: &str) -> Option<&'a Route> {
    routes.iter().find(|route| {
        route.bits > EVERYWHERE_BITS
            && route.interface.as_deref() != Some(bridge)
            && subnet.overlaps(route.network, route.bits)
    })
}

fn candidates(bits: u8) -> impl Iterator<Item = Subnet> {
    PRIVATE
        .into_iter()
        .filter(move |(_, block)| *block <= bits)
        .flat_map(move |(start, block)| {
            (0..1_u32 << (bits - block).min(12))
                .rev()
                .filter_map(move |number| {
                    let network = Ipv4Addr::from_bits(start.to_bits() + (number << (32 - bits)));
                    format!("{network}/{bits}").parse().ok()
                })
        })
}

/// The interface of the default route; of several, that with the lowest metric.
pub(super) fn outbound(routes: &[Route]) -> Option<String> {
    let defaults = routes
        .iter()
        .filter(|route| route.bits == 0 && route.interface.is_some());
    defaults.min_by_key(|route| route.metric)?.interface.clone()
}

/// What is said when there is no default route.
pub(super) fn warning() -> String {
    "this host has no default route: VMs reach nothing outside it; give the interface with --outbound, or it is taken \
     as soon as there is a default route"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str, interface: &str, metric: u32) -> Route {
        let (network, bits) = text.split_once('/').unwrap();
        Route {
            network: network.parse().unwrap(),
            bits: bits.parse().unwrap(),
            interface: Some(interface.to_owned()),
            metric,
        }
    }

    #[test]
    fn an_overlap_is_refused_with_a_free_one() {
        let routes = [
            route("0.0.0.0/0", "eth0", 0),
            route("172.16.0.0/12", "vpn0", 0),
            route("10.255.0.0/16", "lan0", 0),
        ];
        let error = check(Subnet::DEFAULT, &routes, "pwbr0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the subnet 172.30.0.0/16 overlaps the host's route to 172.16.0.0/12 through vpn0; give --subnet 10.254.0.0/16"
        );
    }

    #[test]
    fn neither_our_own_bridge_nor_a_way_to_everywhere_is_in_the_way() {
        let routes = [
            route("172.30.0.0/16", "pwbr0", 0),
            route("128.0.0.0/1", "vpn0", 0),
            route("0.0.0.0/0", "e", 0),
        ];
        assert!(check(Subnet::DEFAULT, &routes, "pwbr0").is_ok());
        assert!(check(Subnet::DEFAULT, &routes, "pwbr1").is_err());
    }

    #[test]
    fn of_two_default_routes_the_preferred_one_is_outbound() {
        let routes = [
            route("0.0.0.0/0", "wlan0", 600),
            route("0.0.0.0/0", "eth0", 100),
            route("10.0.0.0/8", "x", 0),
        ];
        assert_eq!(outbound(&routes).as_deref(), Some("eth0"));
        assert_eq!(outbound(&[]), None);
    }

    #[test]
    fn every_size_has_candidates() {
        for bits in 8..=29 {
            assert!(
                candidates(bits).all(|subnet| subnet.bits() == bits) && candidates(bits).count() > 0,
                "{bits}"
            );
        }
    }
}
