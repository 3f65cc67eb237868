//! Quotas: how much a user or team may own. Pure arithmetic over what is used and what is asked for.

use std::fmt;

use crate::PrincipalId;

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// VMs, from when they are asked for until they are asked to go.
    Vms,
    /// Virtual processors of VMs that are asked to run.
    Cpus,
    /// Bytes of memory of VMs that are asked to run.
    MemoryBytes,
    /// Bytes of writable disks, of as long as the VMs count.
    DiskBytes,
    /// VMs that are asked to run.
    Running,
}

impl Resource {
    /// Each of them, in the order in which they are looked at.
    pub const ALL: &'static [Self] = &[
        Self::Vms,
        Self::Cpus,
        Self::MemoryBytes,
        Self::DiskBytes,
        Self::Running,
    ];

    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vms => "vms",
            Self::Cpus => "cpus",
            Self::MemoryBytes => "memory_bytes",
            Self::DiskBytes => "disk_bytes",
            Self::Running => "running",
        }
    }

    /// How people call it.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Vms => "VMs",
            Self::Cpus => "processors",
            Self::MemoryBytes => "memory",
            Self::DiskBytes => "disk",
            Self::Running => "running VMs",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value for each resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerResource<T> {
    /// See [`Resource::Vms`].
    pub vms: T,
    /// See [`Resource::Cpus`].
    pub cpus: T,
    /// See [`Resource::MemoryBytes`].
    pub memory_bytes: T,
    /// See [`Resource::DiskBytes`].
    pub disk_bytes: T,
    /// See [`Resource::Running`].
    pub running: T,
}

/// How much is used, or asked for.
pub type Usage = PerResource<u64>;

/// How much may be used; `None` is any amount.
pub type Limits = PerResource<Option<u64>>;

impl<T: Copy> PerResource<T> {
    /// The value of one resource.
    pub const fn of(&self, resource: Resource) -> T {
        match resource {
            Resource::Vms => self.vms,
            Resource::Cpus => self.cpus,
            Resource::MemoryBytes => self.memory_bytes,
            Resource::DiskBytes => self.disk_bytes,
            Resource::Running => self.running,
        }
    }
}

impl Usage {
    /// What this is more than another, resource by resource.
    #[must_use]
    pub const fn beyond(&self, before: &Self) -> Self {
        Self {
            vms: self.vms.saturating_sub(before.vms),
            cpus: self.cpus.saturating_sub(before.cpus),
            memory_bytes: self.memory_bytes.saturating_sub(before.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            running: self.running.saturating_sub(before.running),
        }
    }
}

impl Limits {
    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            vms: self.vms.or(others.vms),
            cpus: self.cpus.or(others.cpus),
            memory_bytes: self.memory_bytes.or(others.memory_bytes),
            disk_bytes: self.disk_bytes.or(others.disk_bytes),
            running: self.running.or(others.running),
        }
    }
}

/// Whose quota it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaScope {
    /// A user's own.
    User,
    /// A team's.
    Team,
}

impl QuotaScope {
    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team => "team",
        }
    }
}

impl From<PrincipalId> for QuotaScope {
    fn from(id: PrincipalId) -> Self {
        match id {
            PrincipalId::User(_) => Self::User,
            PrincipalId::Team(_) => Self::Team,
        }
    }
}

/// More was asked for than a limit leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Whose limit it is.
    pub scope: QuotaScope,
    /// What is counted.
    pub resource: Resource,
    /// How much may be used.
    pub limit: u64,
    /// How much is.
    pub used: u64,
    /// How much more was asked for.
    pub requested: u64,
}

/// Looks whether what is asked for fits. What is not asked for is not looked at, so a limit below what is used stops
/// nothing that is there.
///
/// # Errors
/// A limit leaves less than is requested; the first such resource is told.
pub fn within_quota(
    scope: QuotaScope,
    limits: &Limits,
    used: &Usage,
    requested: &Usage,
) -> Result<(), QuotaExceeded> {
    for &resource in Resource::ALL {
        let (used, requested) = (used.of(resource), requested.of(resource));
        if let Some(limit) = limits.of(resource)
            && requested > 0
            && used.saturating_add(requested) > limit
        {
            return Err(QuotaExceeded {
                scope,
                resource,
                limit,
                used,
                requested,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Usage = Usage {
        vms: 0,
        cpus: 0,
        memory_bytes: 0,
        disk_bytes: 0,
        running: 0,
    };

    fn refusal(limits: &Limits, used: &Usage, requested: &Usage) -> Option<(Resource, u64, u64, u64)> {
        let refused = within_quota(QuotaScope::User, limits, used, requested).err()?;
        Some((refused.resource, refused.limit, refused.used, refused.requested))
    }

    #[test]
    fn what_is_asked_for_fits_or_is_refused_with_its_numbers() {
        let limits = Limits {
            vms: Some(10),
            cpus: Some(4),
            ..Limits::default()
        };
        let vms = |vms| Usage { vms, ..NONE };
        assert_eq!(refusal(&limits, &vms(9), &vms(1)), None);
        for used in [10, u64::MAX] {
            let refused = refusal(&limits, &vms(used), &vms(1));
            assert_eq!(refused, Some((Resource::Vms, 10, used, 1)));
        }
        let cpus = |cpus| Usage { cpus, ..NONE };
        assert_eq!(
            refusal(&limits, &cpus(3), &cpus(2)),
            Some((Resource::Cpus, 4, 3, 2))
        );
        let memory = Usage {
            memory_bytes: u64::MAX,
            ..NONE
        };
        assert_eq!(refusal(&limits, &memory, &memory), None, "no limit");
    }

    #[test]
    fn a_limit_below_what_is_used_refuses_more_and_nothing_else() {
        let limits = Limits {
            vms: Some(2),
            cpus: Some(1),
            ..Limits::default()
        };
        let used = Usage {
            vms: 5,
            cpus: 3,
            ..NONE
        };
        assert_eq!(refusal(&limits, &used, &NONE), None);
        let disk = Usage {
            disk_bytes: 1,
            ..NONE
        };
        assert_eq!(refusal(&limits, &used, &disk), None);
        let cpu = Usage { cpus: 1, ..NONE };
        assert_eq!(refusal(&limits, &used, &cpu), Some((Resource::Cpus, 1, 3, 1)));
    }

    #[test]
    fn own_limits_go_before_those_of_the_installation() {
        let own = Limits {
            vms: Some(1),
            ..Limits::default()
        };
        let others = Limits {
            vms: Some(7),
            cpus: Some(8),
            ..Limits::default()
        };
        let both = own.or(&others);
        assert_eq!((both.vms, both.cpus, both.running), (Some(1), Some(8), None));
    }
}
