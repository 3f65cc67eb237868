//! Lists of VMs: what the caller may see, filtered and ordered in the memory, a page at a time.

use std::collections::BTreeSet;

use model::{HostId, ImageRef, PrincipalId, Problem, ProblemCode, Right, Status};
use serde::Serialize;
use store::{Read, Vm, VmFilter, VmOrder, VmPage, VmPlace, VmsOf};

use crate::page::Paging;
use crate::{Caller, Control, Error, HostSelector, Operation, Page, PageRequest, PrincipalSelector, VmView};

/// Which VMs are listed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListVms {
    /// Which part of the list.
    pub page: PageRequest,
    /// By what it is ordered.
    pub sort: VmSort,
    /// Labels that they all have.
    pub labels: BTreeSet<(String, String)>,
    /// The status that they have now. It is computed, so a page may hold fewer than there are behind it.
    pub status: Option<Status>,
    /// Who owns them.
    pub owner: Option<PrincipalSelector>,
    /// The image that was asked for.
    pub image: Option<ImageRef>,
    /// The host that they are placed on; for admins.
    pub host: Option<HostSelector>,
    /// How their names begin.
    pub name_prefix: Option<String>,
}

/// The order of a list of VMs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VmSort {
    /// By name, not by when they were created.
    pub by_name: bool,
    /// The last first.
    pub descending: bool,
}

impl Control {
    /// VMs that the caller may use, those on their way out included.
    ///
    /// # Errors
    /// A filter is for admins only, or the cursor is none of this list.
    pub async fn vm_list(&self, caller: &Caller, list: &ListVms) -> Result<Page<VmView>, Error> {
        caller.may_ask_for(Operation::VmList)?;
        if list.host.is_some() && !caller.is_admin() {
            return Err(host_is_for_admins().into());
        }
        let order = list.sort.order();
        let (paging, behind) = Paging::of(caller, Operation::VmList, &list.identity(), &list.page)?;
        let mut read = self.inner.store.read().await?;
        let Some(filter) = filter(&mut read, list).await? else {
            return Ok(Page::empty());
        };
        let page = VmPage {
            of: seen_by(&mut read, caller).await?,
            filter,
            order,
            descending: list.sort.descending,
            behind,
            limit: paging.rows(),
        };
        let mut rows = read.vm_page(&page).await?;
        access_look_up(&mut read, caller, &mut rows).await?;
        drop(read);
        let mut page = paging
            .page(rows, |vm| VmPlace::of(vm, order))?
            .map(|vm| self.view(vm));
        page.items
            .retain(|vm| list.status.is_none_or(|status| vm.status == status));
        Ok(page)
    }
}

/// Whose VMs a caller sees.
async fn seen_by(read: &mut Read, caller: &Caller) -> Result<VmsOf, Error> {
    if caller.is_admin() {
        return Ok(VmsOf::All);
    }
    let mut principals = vec![PrincipalId::from(caller.user)];
    let teams = read.member_list_of_user(caller.user).await?;
    principals.extend(teams.into_iter().map(|member| PrincipalId::from(member.team)));
    Ok(VmsOf::SeenBy(principals))
}

/// Looks up what the caller may do with each VM of a page.
async fn access_look_up(read: &mut Read, caller: &Caller, vms: &mut [Vm]) -> Result<(), Error> {
    if caller.is_admin() {
        vms.iter_mut().for_each(|vm| vm.access = Some(Right::Own));
        return Ok(());
    }
    let ids: Vec<_> = vms.iter().map(|vm| vm.asked.id).collect();
    let rights = read.right_list(&ids, caller.user).await?;
    for vm in vms {
        vm.access = rights.get(&vm.asked.id).copied();
    }
    Ok(())
}

/// What the memory is asked for; `None` where a filter names what is not there, so that nothing fits.
async fn filter(read: &mut Read, list: &ListVms) -> Result<Option<VmFilter>, Error> {
    let owner = match &list.owner {
        None => None,
        Some(PrincipalSelector::Id(id)) => Some(*id),
        Some(PrincipalSelector::Name(name)) => match read.principal_fetch_by_name(name).await? {
            Some(owner) => Some(owner.id()),
            None => return Ok(None),
        },
    };
    let hosts = match &list.host {
        None => None,
        Some(host) => Some(hosts(read, host).await?).filter(|hosts| !hosts.is_empty()),
    };
    if list.host.is_some() && hosts.is_none() {
        return Ok(None);
    }
    Ok(Some(VmFilter {
        labels: list.labels.clone(),
        owner,
        image: list.image.clone(),
        hosts,
        name_prefix: list.name_prefix.clone(),
    }))
}

async fn hosts(read: &mut Read, selector: &HostSelector) -> Result<Vec<HostId>, Error> {
    let hosts = read.host_list().await?.into_iter();
    let meant = hosts.filter(|host| match selector {
        HostSelector::Id(id) => host.id == *id,
        HostSelector::Name(name) => host.name == *name,
    });
    Ok(meant.map(|host| host.id).collect())
}

impl ListVms {
    /// What a cursor is bound to: all that decides which VMs are on the list and in which order.
    fn identity(&self) -> impl Serialize {
        let text = |value: Option<&dyn ToString>| value.map(ToString::to_string);
        (
            (self.sort.by_name, self.sort.descending),
            self.labels.clone(),
            self.status,
            text(self.owner.as_ref().map(|owner| owner as _)),
            text(self.image.as_ref().map(|image| image as _)),
            text(self.host.as_ref().map(|host| host as _)),
            self.name_prefix.clone(),
        )
    }
}

impl VmSort {
    const fn order(self) -> VmOrder {
        if self.by_name {
            VmOrder::Name
        } else {
            VmOrder::CreatedAt
        }
    }
}

fn host_is_for_admins() -> Problem {
    Problem::new(ProblemCode::AdminOnly, "only admins may list the VMs of a host")
        .hint("leave the host out")
        .at("/host")
}
