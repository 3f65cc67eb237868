//! Quotas: how much a user or team may own.
//!
//! A VM counts for its owner only. It counts as a VM and with its disk until it was asked to go, and with processors and
//! memory, and as a running one, while it is asked to run. What is counted is what is asked, so a host that is away or a
//! guest that ended changes nothing of it.
//!
//! What always holds: the use is summed and the limit compared in the transaction that asks for more.

use model::{
    Asked, ByteSize, Limits, Power, PrincipalId, PrincipalName, Problem, ProblemCode, QuotaExceeded,
    Resource, Usage, within_quota,
};
use store::{Principal, Read};

use crate::page::Paging;
use crate::principal::{holder_find, principal_find};
use crate::{Caller, Control, Error, Operation, Page, PageRequest, PrincipalSelector};

/// How much a user or team may own, and how much it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaView {
    /// Who.
    pub principal: PrincipalId,
    /// Its name.
    pub name: PrincipalName,
    /// The limits in force.
    pub limits: Limits,
    /// Those of them that were set for this one; the others are the installation's.
    pub set: Limits,
    /// What is used.
    pub used: Usage,
}

impl Control {
    /// The quota of a user or team.
    ///
    /// # Errors
    /// There is none that is the caller or a team of the caller's.
    pub async fn quota_get(&self, caller: &Caller, of: &PrincipalSelector) -> Result<QuotaView, Error> {
        let mut read = self.inner.store.read().await?;
        let of = holder_find(&mut read, caller, of, Operation::QuotaGet).await?;
        let set = read.quota_fetch(of.id()).await?;
        self.quota_view(&mut read, &of, set).await
    }

    /// The quotas of all users and teams, by name.
    ///
    /// # Errors
    /// The caller is no admin, or the page is none of this list.
    pub async fn quota_list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<QuotaView>, Error> {
        caller.may_ask_for(Operation::QuotaList)?;
        let (paging, behind) = Paging::of::<String>(caller, Operation::QuotaList, &(), page)?;
        let mut read = self.inner.store.read().await?;
        let mut quotas = Vec::new();
        for (principal, set) in read
            .quota_list(&behind.unwrap_or_default(), paging.rows())
            .await?
        {
            quotas.push(self.quota_view(&mut read, &principal, set).await?);
        }
        paging.page(quotas, |quota| quota.name.to_string())
    }

    /// Sets the limits of a user or team, in the place of those that were set before. What is `None` is as the
    /// installation has it. Nothing stops that is over a new limit.
    ///
    /// # Errors
    /// The caller is no admin, or there is no such user or team.
    pub async fn quota_put(
        &self,
        caller: &Caller,
        of: &PrincipalSelector,
        limits: Limits,
    ) -> Result<QuotaView, Error> {
        let mut change = self.change_by(caller, Operation::QuotaPut).await?;
        let of = principal_find(&mut change, of).await?;
        change.about(of.id());
        change.quota_put(of.id(), &limits).await?;
        let view = self.quota_view(&mut change, &of, limits).await?;
        self.commit(change).await?;
        Ok(view)
    }

    /// Lets the installation's limits hold for a user or team again.
    ///
    /// # Errors
    /// The caller is no admin, or there is no such user or team.
    pub async fn quota_delete(&self, caller: &Caller, of: &PrincipalSelector) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::QuotaDelete).await?;
        let of = principal_find(&mut change, of).await?;
        change.about(of.id());
        change.quota_delete(of.id()).await?;
        self.commit(change).await
    }

    async fn quota_view(&self, read: &mut Read, of: &Principal, set: Limits) -> Result<QuotaView, Error> {
        Ok(QuotaView {
            principal: of.id(),
            name: of.name().clone(),
            limits: set.or(&self.inner.quotas),
            set,
            used: read.usage_of_owner(of.id()).await?,
        })
    }
}

/// What a VM takes of its owner's quota.
pub(crate) fn counted(asked: &Asked) -> Usage {
    let runs = asked.body.power == Power::On && !asked.remove;
    let if_it_runs = |amount| if runs { amount } else { 0 };
    let if_it_stays = |amount| if asked.remove { 0 } else { amount };
    Usage {
        vms: if_it_stays(1),
        cpus: if_it_runs(asked.body.cpus.into()),
        memory_bytes: if_it_runs(asked.body.memory.bytes()),
        disk_bytes: if_it_stays(asked.body.disk.bytes()),
        running: if_it_runs(1),
    }
}

/// Refuses what the owner's quota has no room for, beside what is used now.
///
/// # Errors
/// It has none.
pub(crate) async fn has_quota(
    read: &mut Read,
    defaults: &Limits,
    owner: PrincipalId,
    requested: &Usage,
) -> Result<(), Error> {
    if *requested == Usage::default() {
        return Ok(());
    }
    let limits = read.quota_fetch(owner).await?.or(defaults);
    if limits == Limits::default() {
        return Ok(());
    }
    let used = read.usage_of_owner(owner).await?;
    within_quota(owner.into(), &limits, &used, requested).map_err(|exceeded| refusal(exceeded).into())
}

fn refusal(exceeded: QuotaExceeded) -> Problem {
    let QuotaExceeded {
        scope,
        resource,
        limit,
        used,
        requested,
    } = exceeded;
    let amount = |amount: u64| match resource {
        Resource::MemoryBytes | Resource::DiskBytes => ByteSize::from_bytes(amount).to_string(),
        Resource::Vms | Resource::Cpus | Resource::Running => amount.to_string(),
    };
    let [limit, used, requested] = [limit, used, requested].map(amount);
    let (scope, what) = (scope.as_str(), resource.what());
    Problem::new(
        ProblemCode::QuotaExceeded,
        format!("the {scope}'s quota of {what} is {limit}: {used} in use, {requested} more asked for"),
    )
    .hint("stop or remove something of theirs, or ask an admin for more (pwctl quota set)")
    .quota(exceeded)
}
