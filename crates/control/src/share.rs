//! With whom VMs are shared.

use jiff::Timestamp;
use model::{PrincipalId, PrincipalName, Problem, ProblemCode, Right};
use store::{Principal, Share, Vm};

use crate::ask::wrong_status;
use crate::keys::{keys_renew, keys_withdraw};
use crate::principal::{page_by_name, principal_find};
use crate::vm::{full_name, vm_find};
use crate::{Caller, Control, Error, Operation, Page, PageRequest, PrincipalSelector, VmSelector};

/// What somebody may do with a VM that is another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareView {
    /// Who.
    pub principal: PrincipalId,
    /// Its name.
    pub name: PrincipalName,
    /// What that one may do.
    pub right: Right,
    /// Since when.
    pub added_at: Timestamp,
}

impl Control {
    /// With whom a VM is shared, by name.
    ///
    /// # Errors
    /// There is no such VM, or the page is none of this list.
    pub async fn share_list(
        &self,
        caller: &Caller,
        vm: &VmSelector,
        page: &PageRequest,
    ) -> Result<Page<ShareView>, Error> {
        let mut read = self.inner.store.read().await?;
        let vm = vm_find(&mut read, caller, vm, Operation::VmShareList).await?;
        let shares = read.share_list_of_vm(vm.asked.id).await?;
        let shares = shares.into_iter().map(view).collect();
        let of = vm.asked.id.to_string();
        page_by_name(
            caller,
            Operation::VmShareList,
            &of,
            page,
            (shares, |share| &share.name),
        )
    }

    /// Shares a VM with a user or team, or changes what that one may do with it. Its keys open the VM from then on.
    ///
    /// # Errors
    /// There is no such VM, user or team, the caller does not own the VM, the other one does, or the right is none that
    /// can be given.
    pub async fn share_put(
        &self,
        caller: &Caller,
        vm: &VmSelector,
        with: &PrincipalSelector,
        right: Right,
    ) -> Result<ShareView, Error> {
        let mut change = self.change_by(caller, Operation::VmSharePut).await?;
        let vm = vm_find(&mut change, caller, vm, Operation::VmSharePut).await?;
        let with = principal_find(&mut change, with).await?;
        can_be_given(&vm, &with, right)?;
        let (id, now) = (vm.asked.id, change.now);
        change.about(format!("{id} with {}", with.id()));
        let before = change.share_list_of_vm(id).await?.into_iter();
        let mut before = before.filter(|share| share.principal == with.id());
        if before.any(|share| right < share.right) {
            change.withdraws_rights();
        }
        change.share_put(id, with.id(), right, now).await?;
        keys_renew(&mut change, &[id]).await?;
        let shares = change.share_list_of_vm(id).await?;
        let share = shares.into_iter().find(|share| share.principal == with.id());
        let share = share.ok_or_else(|| no_share(&vm, with.name()))?;
        self.commit(change).await?;
        tracing::info!(vm.id = %id, principal.id = %with.id(), %right, user.id = %caller.user, "vm shared");
        Ok(view(share))
    }

    /// Shares a VM with somebody no more. What that one has open on it ends, unless it may use the VM otherwise.
    ///
    /// # Errors
    /// There is no such VM, user or team, the VM is not shared with it, or the caller does not own the VM.
    pub async fn share_delete(
        &self,
        caller: &Caller,
        vm: &VmSelector,
        with: &PrincipalSelector,
    ) -> Result<(), Error> {
        let mut change = self.change_by(caller, Operation::VmShareDelete).await?;
        let vm = vm_find(&mut change, caller, vm, Operation::VmShareDelete).await?;
        let with = principal_find(&mut change, with).await?;
        let id = vm.asked.id;
        change.about(format!("{id} with {}", with.id()));
        let shares = change.share_list_of_vm(id).await?;
        if !shares.iter().any(|share| share.principal == with.id()) {
            return Err(no_share(&vm, with.name()).into());
        }
        change.share_delete(id, with.id()).await?;
        let users = match with.id() {
            PrincipalId::User(user) => vec![user],
            PrincipalId::Team(team) => {
                let members = change.member_list_of_team(team).await?;
                members.into_iter().map(|member| member.user).collect()
            }
        };
        keys_withdraw(&mut change, &[id], &users).await?;
        self.commit(change).await?;
        tracing::info!(vm.id = %id, principal.id = %with.id(), user.id = %caller.user, "vm shared no more");
        Ok(())
    }
}

fn can_be_given(vm: &Vm, with: &Principal, right: Right) -> Result<(), Problem> {
    if vm.asked.remove {
        return Err(wrong_status(
            vm,
            "it is being removed, so there is nothing to share",
        ));
    }
    if right == Right::Own {
        return Err(Problem::new(
            ProblemCode::InvalidValue,
            "a share is to use a VM or to manage it; a VM has one owner",
        )
        .hint("to give it away: pwctl transfer VM WHO")
        .at("/right"));
    }
    if with.id() == vm.owner.id {
        return Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("{} is the owner of {}", with.name(), full_name(vm)),
        ));
    }
    Ok(())
}

fn view(share: Share) -> ShareView {
    ShareView {
        principal: share.principal,
        name: share.principal_name,
        right: share.right,
        added_at: share.added_at,
    }
}

fn no_share(vm: &Vm, with: &PrincipalName) -> Problem {
    let name = full_name(vm);
    Problem::new(ProblemCode::NotFound, format!("{name} is not shared with {with}"))
        .hint(format!("pwctl share ls {name} shows with whom it is"))
}
