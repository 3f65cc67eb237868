//! Interfaces, addresses and routes, over netlink (rtnetlink(7)).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use model::MacAddr;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, RouteMessageBuilder};

use super::setting;
use crate::hands::{HandsError, Link, LinkKind, Route};

/// `RT_TABLE_LOCAL`: the host's own addresses.
const LOCAL_TABLE: u8 = 255;

/// A netlink socket that lives as long as this value.
pub(super) struct Socket {
    pub(super) handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(super) fn open() -> Result<Socket, HandsError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(HandsError::Socket)?;
    Ok(Socket {
        handle,
        connection: tokio::spawn(connection),
    })
}

pub(super) fn refused(operation: &'static str, subject: &str) -> impl FnOnce(rtnetlink::Error) -> HandsError {
    let subject = subject.to_owned();
    move |source| HandsError::Netlink {
        operation,
        subject,
        source: Box::new(source),
    }
}

/// Every interface.
pub(super) async fn list() -> Result<Vec<Link>, HandsError> {
    let socket = open()?;
    let messages = dump(&socket).await?;
    let names: HashMap<u32, String> = messages
        .iter()
        .filter_map(|link| Some((link.header.index, name_of(link)?)))
        .collect();
    Ok(messages
        .iter()
        .filter_map(|message| describe(message, &names))
        .collect())
}

async fn dump(socket: &Socket) -> Result<Vec<LinkMessage>, HandsError> {
    socket
        .handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(refused("list", "the interfaces"))
}

fn describe(message: &LinkMessage, names: &HashMap<u32, String>) -> Option<Link> {
    let mut link = Link {
        name: name_of(message)?,
        kind: LinkKind::Other,
        bridge: None,
        alias: None,
    };
    for attribute in &message.attributes {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a link has a hundred attributes; three matter here"
        )]
        match attribute {
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Controller(index) => link.bridge = names.get(index).cloned(),
            LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
            _ => {}
        }
    }
    Some(link)
}

fn kind(infos: &[LinkInfo]) -> LinkKind {
    if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)) {
        LinkKind::Bridge
    } else if infos.contains(&LinkInfo::Kind(InfoKind::Tun)) {
        LinkKind::Tun
    } else {
        LinkKind::Other
    }
}

fn name_of(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name.clone())
        } else {
            None
        }
    })
}

async fn look(socket: &Socket, name: &str) -> Result<Option<LinkMessage>, HandsError> {
    let messages = dump(socket).await?;
    Ok(messages
        .into_iter()
        .find(|link| name_of(link).as_deref() == Some(name)))
}

pub(super) async fn find(socket: &Socket, name: &str) -> Result<Option<u32>, HandsError> {
    Ok(look(socket, name).await?.map(|link| link.header.index))
}

pub(super) async fn index(socket: &Socket, name: &str) -> Result<u32, HandsError> {
    find(socket, name)
        .await?
        .ok_or_else(|| HandsError::NoLink(name.to_owned()))
}

/// Makes the bridge unless it is there, gives it its addresses, takes any other, and brings it up. Without a hardware
/// address of its own a bridge has that of one of its ports, so it would change as VMs come and go.
pub(super) async fn ensure_bridge(name: &str, gateway: Ipv4Addr, bits: u8) -> Result<(), HandsError> {
    let existing = list().await?.into_iter().find(|link| link.name == name);
    if existing
        .as_ref()
        .is_some_and(|link| link.kind != LinkKind::Bridge)
    {
        return Err(HandsError::NotOurs(name.to_owned()));
    }
    let socket = open()?;
    if existing.is_none() {
        let bridge = LinkBridge::new(name).build();
        socket
            .handle
            .link()
            .add(bridge)
            .execute()
            .await
            .map_err(refused("make the bridge", name))?;
    }
    let done = settle_bridge(&socket, name, gateway, bits).await;
    if done.is_err() && existing.is_none() {
        remove(name).await?;
    }
    done
}

async fn settle_bridge(socket: &Socket, name: &str, gateway: Ipv4Addr, bits: u8) -> Result<(), HandsError> {
    let bridge = look(socket, name)
        .await?
        .ok_or_else(|| HandsError::NoLink(name.to_owned()))?;
    let index = bridge.header.index;
    setting::disable_ipv6(name)?;
    let addresses: Vec<_> = socket
        .handle
        .address()
        .get()
        .set_link_index_filter(index)
        .execute()
        .try_collect()
        .await
        .map_err(refused("list the addresses of", name))?;
    let mut present = false;
    for address in addresses
        .into_iter()
        .filter(|address| address.header.family == AddressFamily::Inet)
    {
        let own = AddressAttribute::Local(IpAddr::V4(gateway));
        if address.header.prefix_len == bits && address.attributes.contains(&own) {
            present = true;
        } else {
            let removed = socket.handle.address().del(address).execute().await;
            removed.map_err(refused("take an old address from", name))?;
        }
    }
    if !present {
        let added = socket
            .handle
            .address()
            .add(index, IpAddr::V4(gateway), bits)
            .execute()
            .await;
        added.map_err(refused("give an address to", name))?;
    }
    // Each change of it, even to the same one, makes the kernel forget the bridge's neighbours.
    let mac = MacAddr::for_vm(gateway).octets().to_vec();
    let known = bridge.attributes.contains(&LinkAttribute::Address(mac.clone()));
    let settled = LinkUnspec::new_with_index(index).up();
    let settled = if known { settled } else { settled.address(mac) };
    socket
        .handle
        .link()
        .set(settled.build())
        .execute()
        .await
        .map_err(refused("bring up", name))
}

/// Makes an interface an isolated port of the bridge (`IFLA_BRPORT_ISOLATED`: isolated ports do not reach each
/// other), then brings it up.
pub(super) async fn join_bridge(name: &str, bridge: &str, alias: &str) -> Result<(), HandsError> {
    let socket = open()?;
    let bridge_index = index(&socket, bridge).await?;
    let port = index(&socket, name).await?;
    setting::disable_ipv6(name)?;
    let link = socket.handle.link();
    let joined = LinkUnspec::new_with_index(port)
        .alias(alias)
        .controller(bridge_index)
        .build();
    link.set(joined)
        .execute()
        .await
        .map_err(refused("put on the bridge", name))?;
    let isolated = LinkBridgePort::new(port).isolated(true).build();
    link.set_port(isolated)
        .execute()
        .await
        .map_err(refused("isolate", name))?;
    let up = LinkUnspec::new_with_index(port).up().build();
    link.set(up).execute().await.map_err(refused("bring up", name))
}

/// Removes an interface, whether or not it is there.
pub(super) async fn remove(name: &str) -> Result<(), HandsError> {
    let socket = open()?;
    match find(&socket, name).await? {
        Some(index) => socket
            .handle
            .link()
            .del(index)
            .execute()
            .await
            .map_err(refused("remove", name)),
        None => Ok(()),
    }
}

/// The IPv4 routes of every table that lead away from this host, or nowhere.
pub(super) async fn routes() -> Result<Vec<Route>, HandsError> {
    let socket = open()?;
    let names: HashMap<u32, String> = dump(&socket)
        .await?
        .iter()
        .filter_map(|link| Some((link.header.index, name_of(link)?)))
        .collect();
    let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let messages: Vec<RouteMessage> = socket
        .handle
        .route()
        .get(query)
        .execute()
        .try_collect()
        .await
        .map_err(refused("list", "the routes"))?;
    let away = messages.iter().filter(|message| {
        !matches!(
            message.header.kind,
            RouteType::Local | RouteType::Broadcast | RouteType::Multicast
        ) && message.header.table != LOCAL_TABLE
    });
    Ok(away.map(|message| route(message, &names)).collect())
}

fn route(message: &RouteMessage, names: &HashMap<u32, String>) -> Route {
    let bits = message.header.destination_prefix_length;
    let mut route = Route {
        network: Ipv4Addr::UNSPECIFIED,
        bits,
        interface: None,
        metric: 0,
    };
    for attribute in &message.attributes {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a route has many attributes; three matter here"
        )]
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(network)) => route.network = *network,
            RouteAttribute::Oif(index) => route.interface = names.get(index).cloned(),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            _ => {}
        }
    }
    route
}
