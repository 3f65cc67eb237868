//! Placement: a pure function from what the hosts are and what is asked to a host, or to why none will do.
//!
//! Of the hosts that can take a VM, it gets the one with the most memory left, then the most disk, then the least
//! id. So VMs spread, and the same question always has the same answer.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use model::{ByteSize, Capacity, Feature, HostId, HostName, Problem, ProblemCode, VmBody};

/// A host as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSnapshot {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: HostName,
    /// Whether it has not reported for too long.
    pub silent: bool,
    /// Whether it obeys another installation.
    pub foreign: bool,
    /// What it can hold, once it said so.
    pub capacity: Option<Capacity>,
    /// What it holds or is asked to hold already.
    pub booked: Capacity,
    /// What it can do.
    pub features: BTreeSet<Feature>,
}

/// What a VM needs of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it takes.
    pub takes: Capacity,
    /// What the host must be able to do.
    pub needs: BTreeSet<Feature>,
}

impl Request {
    /// What a wish needs.
    pub fn of(body: &VmBody) -> Self {
        Self {
            takes: capacity_of(body),
            needs: body.needs.clone(),
        }
    }
}

/// What a wish takes of its host.
pub(crate) const fn capacity_of(body: &VmBody) -> Capacity {
    Capacity {
        cpus: body.cpus,
        memory_bytes: body.memory.bytes(),
        disk_bytes: body.disk.bytes(),
    }
}

/// Why one host will not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It has not reported for too long.
    Silent,
    /// It obeys another installation.
    Foreign,
    /// It lacks a feature.
    Lacks(Feature),
    /// It has not said yet what it can hold.
    CapacityUnknown,
    /// Too few processors are free.
    Cpus {
        /// How many are.
        free: u32,
    },
    /// Too little memory is free.
    Memory {
        /// How much is.
        free: ByteSize,
    },
    /// Too little disk is free.
    Disk {
        /// How much is.
        free: ByteSize,
    },
}

impl Refused {
    /// Whether there would be room if less were asked, or others went.
    const fn is_lack_of_room(&self) -> bool {
        match self {
            Self::Cpus { .. } | Self::Memory { .. } | Self::Disk { .. } => true,
            Self::Silent | Self::Foreign | Self::Lacks(_) | Self::CapacityUnknown => false,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("is silent"),
            Self::Foreign => f.write_str("obeys another installation"),
            Self::Lacks(feature) => write!(f, "lacks {feature}"),
            Self::CapacityUnknown => f.write_str("has not said yet what it can hold"),
            Self::Cpus { free } => write!(f, "has {free} processors left"),
            Self::Memory { free } => write!(f, "has {free} of memory left"),
            Self::Disk { free } => write!(f, "has {free} of disk left"),
        }
    }
}

/// No host will do: each with its reason, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The hosts and their reasons.
    pub hosts: Vec<(HostName, Refused)>,
}

impl Refusal {
    /// The refusal in the caller's voice.
    pub fn into_problem(self) -> Problem {
        if self.hosts.is_empty() {
            return Problem::new(ProblemCode::NoHost, "there is no host to run it on")
                .hint("start an orchestrator; it makes itself known by its first report");
        }
        let reasons: Vec<_> = self
            .hosts
            .iter()
            .map(|(name, why)| format!("{name} {why}"))
            .collect();
        let reasons = reasons.join(", ");
        if self.hosts.iter().any(|(_, why)| why.is_lack_of_room()) {
            Problem::new(
                ProblemCode::NoCapacity,
                format!("no host has room for it: {reasons}"),
            )
            .hint("ask for less, remove a VM that is not needed, or add a host")
        } else {
            Problem::new(ProblemCode::NoHost, format!("no host can take it now: {reasons}"))
                .hint("look at the hosts (pwctl host ls) and at their orchestrators")
        }
    }
}

/// Chooses a host.
///
/// # Errors
/// None will do.
pub fn place(hosts: &[HostSnapshot], request: &Request) -> Result<HostId, Refusal> {
    let mut refused = Vec::new();
    let mut best: Option<Rank> = None;
    for host in hosts {
        match room(host, request) {
            Ok((memory, disk)) => best = best.max(Some((memory, disk, Reverse(host.id)))),
            Err(why) => refused.push((host.name.clone(), why)),
        }
    }
    best.map(|(_, _, Reverse(id))| id)
        .ok_or(Refusal { hosts: refused })
}

/// What makes one host better than another: memory left, disk left, then the lesser id.
type Rank = (u64, u64, Reverse<HostId>);

/// The memory and disk that a host would have left.
fn room(host: &HostSnapshot, request: &Request) -> Result<(u64, u64), Refused> {
    if host.foreign {
        return Err(Refused::Foreign);
    }
    if host.silent {
        return Err(Refused::Silent);
    }
    if let Some(feature) = request.needs.difference(&host.features).next() {
        return Err(Refused::Lacks(feature.clone()));
    }
    let capacity = host.capacity.ok_or(Refused::CapacityUnknown)?;
    let cpus = capacity.cpus.saturating_sub(host.booked.cpus);
    let memory = capacity.memory_bytes.saturating_sub(host.booked.memory_bytes);
    let disk = capacity.disk_bytes.saturating_sub(host.booked.disk_bytes);
    let takes = request.takes;
    if takes.cpus > cpus {
        return Err(Refused::Cpus { free: cpus });
    }
    let memory_left = memory.checked_sub(takes.memory_bytes).ok_or(Refused::Memory {
        free: ByteSize::from_bytes(memory),
    })?;
    let disk_left = disk.checked_sub(takes.disk_bytes).ok_or(Refused::Disk {
        free: ByteSize::from_bytes(disk),
    })?;
    Ok((memory_left, disk_left))
}
