//! Keeping a user out for a while.
//!
//! A disabled user cannot come in, its keys open nothing, and what it owns is off. What is asked of its VMs stays as it
//! is: the plans say that they are off (`plan`), and so does their status (`view`). Enabling asks for another boot of
//! those that ran, so that they come back; one that its guest had powered off stays off.

use model::{Phase, Power, PrincipalId, Problem};
use store::{User, Vm};

use crate::account::account_find;
use crate::ask::wrong_status;
use crate::change::Change;
use crate::keys::{keys_return, keys_withdraw};
use crate::power::boot_again;
use crate::user::{an_admin_is_left, opened_by};
use crate::{Caller, Control, Error, Operation, UserSelector};

impl Control {
    /// Keeps a user out: tokens and keys open nothing any more, what is open ends, and its VMs stop.
    ///
    /// # Errors
    /// The caller is no admin, there is no such user, or it is the last admin.
    pub async fn user_disable(&self, caller: &Caller, user: &UserSelector) -> Result<User, Error> {
        self.user_let(caller, user, Operation::UserDisable, true).await
    }

    /// Lets a user in again, and its VMs run as before.
    ///
    /// # Errors
    /// The caller is no admin, or there is no such user.
    pub async fn user_enable(&self, caller: &Caller, user: &UserSelector) -> Result<User, Error> {
        self.user_let(caller, user, Operation::UserEnable, false).await
    }

    async fn user_let(
        &self,
        caller: &Caller,
        user: &UserSelector,
        operation: Operation,
        disabled: bool,
    ) -> Result<User, Error> {
        let mut change = self.change_by(caller, operation).await?;
        let before = account_find(&mut change, caller, user, operation).await?;
        if before.disabled == disabled {
            return Ok(before);
        }
        change.about(before.id);
        if disabled {
            an_admin_is_left(&mut change, &before).await?;
        }
        let now = user_gate(&mut change, before, disabled).await?;
        self.commit(change).await?;
        tracing::info!(user.id = %caller.user, gated.id = %now.id, disabled, "user disabled or enabled");
        Ok(now)
    }
}

/// Shuts a user out or lets it in, with its keys and what it owns.
pub(crate) async fn user_gate(change: &mut Change, before: User, disabled: bool) -> Result<User, Error> {
    let now = User { disabled, ..before };
    let owned = owned_on(change, now.id.into()).await?;
    change.user_update(&now).await?;
    for vm in &owned {
        let gated = gated(vm, disabled)?;
        change.ask(vm, &gated).await?;
    }
    let opened = opened_by(change, now.id).await?;
    match disabled {
        true => keys_withdraw(change, &opened, &[now.id]).await?,
        false => keys_return(change, &opened).await?,
    }
    Ok(now)
}

/// What somebody owns and that is asked to run.
async fn owned_on(change: &mut Change, owner: PrincipalId) -> Result<Vec<Vm>, Error> {
    let mut owned = Vec::new();
    for id in change.vm_ids_of_owner(owner).await? {
        let vm = change.vm_fetch(id).await?;
        owned.extend(vm.filter(|vm| !vm.asked.remove && vm.asked.body.power == Power::On));
    }
    Ok(owned)
}

/// A VM whose owner is disabled or enabled. It is told to its host as something new; one that ran boots again.
pub(crate) fn gated(before: &Vm, disabled: bool) -> Result<Vm, Problem> {
    let mut now = before.clone();
    now.owner.disabled = disabled;
    now.asked.generation += 1;
    let seen = now
        .seen
        .as_ref()
        .filter(|seen| seen.placement == now.asked.placement);
    let is_off_by_itself = seen.is_some_and(|seen| seen.powered_off || seen.phase == Phase::Gone);
    if now.asked.body.power == Power::On && !disabled && !is_off_by_itself {
        boot_again(&mut now)?;
    }
    Ok(now)
}

/// Refuses what needs a VM to run whose owner is disabled.
///
/// # Errors
/// It is so.
pub(crate) fn owner_is_enabled(vm: &Vm) -> Result<(), Problem> {
    if !vm.owner.disabled {
        return Ok(());
    }
    Err(wrong_status(
        vm,
        &format!("its owner {} is disabled, which keeps it off", vm.owner.name),
    )
    .hint("an admin can enable the user again (pwctl user enable) or give the VM to somebody else (pwctl transfer)"))
}
