//! Looking at hosts.

use model::{Problem, ProblemCode};
use store::{Host, Read};

use crate::page::Paging;
use crate::{Caller, Control, Error, HostSelector, HostView, Operation, Page, PageRequest};

impl Control {
    /// Hosts, by name.
    ///
    /// # Errors
    /// The cursor is none of this list, or the memory cannot be read.
    pub async fn host_list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<HostView>, Error> {
        caller.may_ask_for(Operation::HostList)?;
        let (paging, behind) = Paging::of(caller, Operation::HostList, &(), page)?;
        let mut read = self.inner.store.read().await?;
        let booked = read.vm_sum_by_host().await?;
        let found = read.found_count_by_host().await?;
        let vms = read.vm_count_by_host().await?;
        let hosts = read.host_list().await?;
        drop(read);
        let place = |host: &Host| (host.name.to_string(), host.id.to_string());
        let page = paging.page_of_all(hosts, behind.as_ref(), place)?;
        Ok(page.map(|host| HostView {
            other_installation: host.installation.filter(|id| *id != self.inner.installation),
            booked: booked.get(&host.id).copied().unwrap_or_default(),
            vms: vms.get(&host.id).copied().unwrap_or_default(),
            found: found.get(&host.id).copied().unwrap_or_default(),
            last_report_at: self.inner.heard.at(&host),
            id: host.id,
            name: host.name,
            version: host.version,
            silent: host.silent,
            capacity: host.capacity,
            features: host.features,
            images: host.images,
            plan: host.plan_number,
            accepted_plan: host.accepted_plan,
            refused: host.refused,
        }))
    }
}

/// The host that is meant, as the caller's transaction sees it.
pub(crate) async fn host_find(read: &mut Read, selector: &HostSelector) -> Result<Host, Error> {
    let missing = || {
        Problem::new(ProblemCode::NotFound, format!("there is no host {selector}"))
            .hint("pwctl host ls shows those there are")
    };
    match selector {
        HostSelector::Id(id) => Ok(read.host_fetch(*id).await?.ok_or_else(missing)?),
        HostSelector::Name(name) => {
            let mut named = read
                .host_list()
                .await?
                .into_iter()
                .filter(|host| host.name == *name);
            let first = named.next().ok_or_else(missing)?;
            if named.next().is_some() {
                return Err(
                    Problem::new(ProblemCode::InvalidValue, format!("two hosts are named {name}"))
                        .hint("give its id instead; pwctl host ls shows it")
                        .into(),
                );
            }
            Ok(first)
        }
    }
}
