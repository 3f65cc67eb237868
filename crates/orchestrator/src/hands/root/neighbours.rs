//! What the host knows of the addresses behind its bridge (rtnetlink(7), RTM_NEWNEIGH).

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use model::MacAddr;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};

use super::links::{find, index, open, refused};
use crate::hands::HandsError;

/// A permanent entry, in the place of whatever was known before.
pub(super) async fn ensure(bridge: &str, address: Ipv4Addr, mac: MacAddr) -> Result<(), HandsError> {
    let socket = open()?;
    let bridge_index = index(&socket, bridge).await?;
    let added = socket
        .handle
        .neighbours()
        .add(bridge_index, IpAddr::V4(address))
        .link_layer_address(&mac.octets())
        .state(NeighbourState::Permanent)
        .replace()
        .execute()
        .await;
    added.map_err(refused("name a neighbour on", bridge))
}

/// Forgets the address, whether or not it was known.
pub(super) async fn remove(bridge: &str, address: Ipv4Addr) -> Result<(), HandsError> {
    let socket = open()?;
    let Some(bridge_index) = find(&socket, bridge).await? else {
        return Ok(());
    };
    let known: Vec<_> = socket
        .handle
        .neighbours()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(refused("list the neighbours on", bridge))?;
    let wanted = NeighbourAttribute::Destination(NeighbourAddress::Inet(address));
    for entry in known {
        if entry.header.ifindex == bridge_index && entry.attributes.contains(&wanted) {
            let removed = socket.handle.neighbours().del(entry).execute().await;
            removed.map_err(refused("forget a neighbour on", bridge))?;
        }
    }
    Ok(())
}
