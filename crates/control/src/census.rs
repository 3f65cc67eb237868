//! How many VMs and hosts there are, for figures. It names nobody, so it asks for no caller.

use model::{InstallationId, Status};
use store::Host;

use crate::view::status_of;
use crate::{Control, Error};

/// How a host is, as far as control knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// It reports.
    Reporting,
    /// It has not reported for too long.
    Silent,
    /// It obeys another installation.
    Foreign,
}

impl HostState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Reporting, Self::Silent, Self::Foreign];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reporting => "reporting",
            Self::Silent => "silent",
            Self::Foreign => "foreign",
        }
    }

    pub(crate) fn of(host: &Host, ours: InstallationId) -> Self {
        if host.silent {
            Self::Silent
        } else if host.installation.is_some_and(|theirs| theirs != ours) {
            Self::Foreign
        } else {
            Self::Reporting
        }
    }
}

/// How many there are of each, none left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// VMs.
    pub vms: Vec<(Status, i64)>,
    /// Hosts.
    pub hosts: Vec<(HostState, i64)>,
}

impl Control {
    /// Counts. It reads every VM, so it is not for each request.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn census(&self) -> Result<Census, Error> {
        let mut read = self.inner.store.read().await?;
        let (vms, hosts) = (read.vm_list().await?, read.host_list().await?);
        let statuses: Vec<_> = vms.iter().map(|vm| status_of(vm).status).collect();
        let states: Vec<_> = hosts
            .iter()
            .map(|host| HostState::of(host, self.inner.installation))
            .collect();
        Ok(Census {
            vms: counted(&Status::ALL, &statuses),
            hosts: counted(&HostState::ALL, &states),
        })
    }
}

fn counted<T: Copy + PartialEq>(all: &[T], found: &[T]) -> Vec<(T, i64)> {
    let count = |kind: &T| found.iter().filter(|found| *found == kind).count();
    let count = |kind: &T| i64::try_from(count(kind)).unwrap_or(i64::MAX);
    all.iter().map(|kind| (*kind, count(kind))).collect()
}
