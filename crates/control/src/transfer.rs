//! Giving VMs to another owner. Nothing else moves them.
//!
//! The new owner is a user or team whose exact name the giver knows, and must have room for the VM in its quota and in
//! its names. The VM's own keys and its shares stay; the keys of the account become those of the new owner. SSH sessions
//! that are open stay, as the host's work does.

use model::{PrincipalId, Problem, ProblemCode, UserId};
use store::{Principal, Vm};

use crate::ask::wrong_status;
use crate::change::Change;
use crate::create::name_is_free;
use crate::disable::gated;
use crate::keys::{accepted_keys, keys_accept, keys_remember};
use crate::needs::needs_renew;
use crate::principal::principal_find;
use crate::quota::{counted, has_quota};
use crate::vm::{right_of, vm_find};
use crate::{Caller, Control, Error, Operation, PrincipalSelector, VmSelector, VmView};

impl Control {
    /// Gives a VM to another owner.
    ///
    /// # Errors
    /// There is no such VM, user or team, the caller does not own the VM, it is being removed, or the new owner is
    /// disabled, has a VM of that name, or has no room in its quota.
    pub async fn vm_transfer(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        to: &PrincipalSelector,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::VmTransfer).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmTransfer).await?;
        let to = heir_find(&mut change, to).await?;
        change.about(format!("{} to {to}", before.asked.id));
        if before.asked.remove {
            return Err(wrong_status(&before, "it is being removed, so there is nothing to give").into());
        }
        if before.owner.id == to {
            return Ok(self.view(before));
        }
        give(&mut change, &before, to).await?;
        let mut now = change.vm_fetch(before.asked.id).await?.unwrap_or(before);
        now.access = right_of(&mut change, caller, &now).await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %now.asked.id, owner.id = %to, user.id = %caller.user, token.id = %caller.token,
            "vm given to another owner"
        );
        Ok(self.view(now))
    }
}

/// Gives all that somebody owns to an heir, so that the one who had it can be removed. Those on their way out take up
/// nothing any more; they become the keeper's where there is no heir.
///
/// # Errors
/// It owns VMs and there is no heir, or the heir cannot have them.
pub(crate) async fn vms_give_all(
    change: &mut Change,
    keeper: UserId,
    from: PrincipalId,
    heir: Option<&PrincipalSelector>,
) -> Result<(), Error> {
    let heir = match heir {
        Some(heir) => Some(heir_find(change, heir).await?),
        None => None,
    };
    if heir == Some(from) {
        return Err(Problem::new(ProblemCode::InvalidValue, "nobody is their own heir").into());
    }
    let mut owned = Vec::new();
    for id in change.vm_ids_of_owner(from).await? {
        owned.extend(change.vm_fetch(id).await?);
    }
    let (going, staying): (Vec<Vm>, Vec<Vm>) = owned.into_iter().partition(|vm| vm.asked.remove);
    match heir {
        Some(heir) => {
            for vm in &staying {
                give(change, vm, heir).await?;
            }
        }
        None if staying.is_empty() => {}
        None => return Err(still_owns(staying.len()).into()),
    }
    for vm in going {
        let to = heir.unwrap_or_else(|| keeper.into());
        change.vm_owner_update(vm.asked.id, to).await?;
    }
    Ok(())
}

/// Gives one VM to somebody else: name and quota are looked at first.
async fn give(change: &mut Change, before: &Vm, to: PrincipalId) -> Result<(), Error> {
    let id = before.asked.id;
    name_is_free(change, to, &before.asked.body.name, "/to").await?;
    let defaults = change.quota_defaults;
    has_quota(change, &defaults, to, &counted(&before.asked)).await?;
    let were = change.ssh_key_list_of_vm(id, before.account_keys).await?;
    change.vm_owner_update(id, to).await?;
    // It is more than any share now.
    change.share_delete(id, to).await?;
    let now = change.vm_fetch(id).await?.unwrap_or_else(|| before.clone());
    // What a disabled owner had stopped runs again.
    let mut now = match before.owner.disabled {
        true => gated(&now, false)?,
        false => raised(now),
    };
    let keys = accepted_keys(change, id, &before.own_keys, before.account_keys).await?;
    keys_accept(before, &mut now, keys)?;
    keys_remember(change, &now, &were).await?;
    // They were not presented by the new owner, who brings credentials of their own to pull the image again.
    now.asked.body.registry_secret = None;
    needs_renew(&mut now.asked.body);
    change.withdraws_rights();
    change.ask(before, &now).await
}

fn raised(mut vm: Vm) -> Vm {
    vm.asked.generation += 1;
    vm
}

async fn heir_find(change: &mut Change, to: &PrincipalSelector) -> Result<PrincipalId, Error> {
    let to = principal_find(change, to).await?;
    match &to {
        Principal::User(user) if user.disabled => Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("the user {} is disabled, so nothing of theirs runs", user.name),
        )
        .at("/to")
        .into()),
        Principal::User(_) | Principal::Team(_) => Ok(to.id()),
    }
}

fn still_owns(count: usize) -> Problem {
    Problem::new(
        ProblemCode::OwnsVms,
        format!("it owns VMs still, {count} of them"),
    )
    .hint("say who gets them (--transfer-to), or remove them first")
}
