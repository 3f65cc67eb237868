//! Asking for something else of a VM that is there, whether it runs or not: its keys, its labels, its options.
//!
//! Who may sign in holds in a VM that runs from the next login on; what it runs and whether it has a console, from its
//! next boot on.

use std::collections::BTreeMap;

use model::{Action, Problem, PublicKey, RestartPolicy, ServiceAsk};
use store::Vm;

use crate::ask::fits;
use crate::keys::{accepted_keys, keys_accept};
use crate::needs::needs_renew;
use crate::request::{check_keys, check_options};
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView, labels};

/// What is asked of a VM from now on. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeVm {
    /// The keys of this VM alone, in the place of those before.
    pub keys: Option<Vec<PublicKey>>,
    /// Labels to set, and those to remove, which have no value here.
    pub labels: BTreeMap<String, Option<String>>,
    /// The certificate authorities whose user certificates open it, in the place of those before.
    pub user_cas: Option<Vec<PublicKey>>,
    /// Whether `authorized_keys` files that came with the image count.
    pub image_keys: Option<bool>,
    /// Whether it gets a console where that costs its boot something.
    pub console: Option<bool>,
    /// What it runs besides its logins.
    pub service: ChangeService,
}

/// What a VM runs besides its logins, from its next boot on. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeService {
    /// Whether it runs anything.
    pub enabled: Option<bool>,
    /// Its command; `Some(None)` is the image's own.
    pub command: Option<Option<Vec<String>>>,
    /// When it is started again.
    pub restart: Option<RestartPolicy>,
}

impl Control {
    /// Asks for something else of a VM, whether it runs or not. A wish that changes nothing leaves it as it is.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or a value is out of range, or somebody else was faster.
    pub async fn vm_change(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        wish: ChangeVm,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::VmChange).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmChange).await?;
        fits(&before, Action::Change)?;
        let id = before.asked.id;
        let mut now = before.clone();
        apply(&mut now, &wish)?;
        if now == before {
            return Ok(self.view(before));
        }
        change.about(id);
        now.asked.generation += 1;
        if now.own_keys != before.own_keys {
            let accepted = accepted_keys(&mut change, id, &now.own_keys, now.account_keys).await?;
            keys_accept(&before, &mut now, accepted)?;
            change.vm_own_keys_update(id, &now.own_keys).await?;
        }
        if now.labels != before.labels {
            change.vm_labels_update(id, &now.labels).await?;
        }
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        Ok(self.view(now))
    }
}

/// The VM as it is asked for after the change.
fn apply(vm: &mut Vm, wish: &ChangeVm) -> Result<(), Problem> {
    if let Some(keys) = &wish.keys {
        check_keys(keys)?;
        vm.own_keys.clone_from(keys);
    }
    vm.labels = labels::changed(&vm.labels, &wish.labels)?;
    let options = &mut vm.asked.body.options;
    if let Some(user_cas) = &wish.user_cas {
        options.user_cas.clone_from(user_cas);
    }
    options.image_keys = wish.image_keys.unwrap_or(options.image_keys);
    options.console = wish.console.unwrap_or(options.console);
    wish.service.apply(&mut options.service);
    check_options(options)?;
    needs_renew(&mut vm.asked.body);
    Ok(())
}

impl ChangeService {
    fn apply(&self, service: &mut ServiceAsk) {
        service.enabled = self.enabled.unwrap_or(service.enabled);
        service.restart = self.restart.unwrap_or(service.restart);
        if let Some(command) = &self.command {
            service.command.clone_from(command);
        }
    }
}
