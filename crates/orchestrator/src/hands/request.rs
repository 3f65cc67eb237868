//! The list of requests, and what is answered.

use std::fmt;
use std::net::Ipv4Addr;

use model::MacAddr;

use super::HandsError;

/// One thing to do, or to look up, on the host's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// All interfaces. Answered with [`Reply::Links`].
    ListLinks,
    /// All IPv4 routes that lead somewhere else than this host. Answered with [`Reply::Routes`].
    ListRoutes,
    /// A bridge that is up, has this address and no other, and no IPv6.
    EnsureBridge {
        /// Its name.
        name: String,
        /// The host's address on it.
        gateway: Ipv4Addr,
        /// The prefix length of its subnet.
        bits: u8,
    },
    /// A persistent TAP that is up, an isolated port of the bridge, and carries the alias.
    EnsureTap {
        /// Its name, at most 15 bytes.
        name: String,
        /// The bridge.
        bridge: String,
        /// What it is for, readable with `ip link`.
        alias: String,
        /// The user who may send and receive through it, besides root; whoever made it before is left.
        owner: u32,
    },
    /// That the host knows which hardware address an address behind the bridge has, and need not ask.
    EnsureNeighbour {
        /// The bridge.
        bridge: String,
        /// The address.
        address: Ipv4Addr,
        /// Its hardware address.
        mac: MacAddr,
    },
    /// That the host remembers nothing of an address behind the bridge.
    RemoveNeighbour {
        /// The bridge; one that is gone has taken its neighbours along.
        bridge: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// That an interface is gone.
    RemoveLink {
        /// Its name.
        name: String,
    },
    /// One transaction of nftables, whole or not at all.
    ApplyRuleset {
        /// In the language of nft(8).
        text: String,
    },
    /// The tables as nft lists them, without counters; those that are missing are left out. Answered with
    /// [`Reply::Text`].
    ReadTables {
        /// Which.
        tables: Vec<Table>,
    },
    /// That a table is gone.
    DeleteTable(Table),
    /// Whether the host forwards IPv4 packets. Answered with [`Reply::Flag`].
    ReadForwarding,
    /// That the host forwards IPv4 packets, or does not.
    SetForwarding(bool),
    /// What other tools do to forwarded packets. Answered with [`Reply::Drops`].
    ReadDrops,
    /// Whether nothing is left to do of [`Request::AdmitBridge`]. Answered with [`Reply::Flag`].
    ReadAdmitted {
        /// The bridge.
        bridge: String,
    },
    /// That every tool that drops forwarded packets lets those of the bridge pass. Answered with [`Reply::Flag`]: whether
    /// something had to be added.
    AdmitBridge {
        /// The bridge.
        bridge: String,
    },
    /// That nothing of [`Request::AdmitBridge`] is left.
    ExpelBridge {
        /// The bridge.
        bridge: String,
    },
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is so.
    Done,
    /// Yes or no.
    Flag(bool),
    /// Interfaces.
    Links(Vec<Link>),
    /// Routes.
    Routes(Vec<Route>),
    /// Text.
    Text(String),
    /// Other tools.
    Drops(Drops),
}

impl Reply {
    pub(crate) fn links(self) -> Result<Vec<Link>, HandsError> {
        if let Self::Links(links) = self {
            Ok(links)
        } else {
            Err(HandsError::Reply)
        }
    }

    pub(crate) fn routes(self) -> Result<Vec<Route>, HandsError> {
        if let Self::Routes(routes) = self {
            Ok(routes)
        } else {
            Err(HandsError::Reply)
        }
    }

    pub(crate) fn text(self) -> Result<String, HandsError> {
        if let Self::Text(text) = self {
            Ok(text)
        } else {
            Err(HandsError::Reply)
        }
    }

    pub(crate) fn flag(self) -> Result<bool, HandsError> {
        if let Self::Flag(flag) = self {
            Ok(flag)
        } else {
            Err(HandsError::Reply)
        }
    }

    pub(crate) fn drops(self) -> Result<Drops, HandsError> {
        if let Self::Drops(drops) = self {
            Ok(drops)
        } else {
            Err(HandsError::Reply)
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// The bridge it is a port of.
    pub bridge: Option<String>,
    /// Its alias.
    pub alias: Option<String>,
}

/// What an interface is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A bridge.
    Bridge,
    /// A TUN or TAP device.
    Tun,
    /// Anything else.
    Other,
}

/// A route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub network: Ipv4Addr,
    /// Prefix length; 0 is the default route.
    pub bits: u8,
    /// Through which interface, if through one.
    pub interface: Option<String>,
    /// Of two, the lower is taken.
    pub metric: u32,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)?;
        match &self.interface {
            Some(interface) => write!(f, " through {interface}"),
            None => Ok(()),
        }
    }
}

/// A table of nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Ip => "ip",
            Family::Bridge => "bridge",
        };
        write!(f, "{family} {}", self.name)
    }
}

/// A family of nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ip,
    /// Frames that cross a bridge.
    Bridge,
}

/// Who drops forwarded packets on this host, besides us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drops {
    /// Chains of iptables that [`Request::AdmitBridge`] opens.
    pub mendable: Vec<String>,
    /// Chains that nobody can be let through for: only their owner can change them.
    pub others: Vec<String>,
}
