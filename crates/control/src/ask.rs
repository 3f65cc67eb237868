//! Asking for something else of a VM that is there: its keys here, its power in `power`. Each is a change to what is
//! asked, decided by a pure function, in one transaction that raises the generation.

use model::{Problem, ProblemCode};
use store::Vm;

use crate::keys::accepted_keys;
use crate::request::check_keys;
use crate::vm::vm_find;
use crate::{Caller, ChangeVm, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Asks for something else of a VM, whether it runs or not. Keys hold in a VM that runs from the next login on.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or a value is out of range.
    pub async fn vm_change(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        wish: ChangeVm,
    ) -> Result<VmView, Error> {
        let Some(keys) = wish.keys else {
            return self.vm_get(caller, selector).await;
        };
        check_keys(&keys)?;
        let mut change = self.change_by(caller, Operation::VmChange).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmChange).await?;
        not_on_its_way_out(&before, "changed")?;
        if before.own_keys == keys {
            return Ok(self.view(before));
        }
        let id = before.asked.id;
        change.about(id);
        let mut now = before.clone();
        now.asked.generation += 1;
        now.asked.body.authorized_keys = accepted_keys(&mut change, id, &keys, before.account_keys).await?;
        change.vm_own_keys_update(id, &keys).await?;
        change.ask(&before, &now).await?;
        now.own_keys = keys;
        self.commit(change).await?;
        Ok(self.view(now))
    }

    /// Changes what is asked of a VM by a pure function, which gives whether it changed anything.
    pub(crate) async fn vm_ask(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        operation: Operation,
        ask: impl FnOnce(&mut Vm) -> Result<bool, Problem> + Send,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, operation).await?;
        let before = vm_find(&mut change, caller, selector, operation).await?;
        let mut now = before.clone();
        if !ask(&mut now)? {
            return Ok(self.view(before));
        }
        now.asked.generation += 1;
        change.about(now.asked.id);
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %now.asked.id, vm.generation = now.asked.generation, user.id = %caller.user,
            token.id = %caller.token, operation = operation.as_str(), "something else is asked of a vm"
        );
        Ok(self.view(now))
    }
}

pub(crate) fn not_on_its_way_out(vm: &Vm, what: &str) -> Result<(), Problem> {
    if vm.asked.remove {
        return Err(
            wrong_status(vm, &format!("it is being removed and cannot be {what}"))
                .hint("create it again under the same name, which is free already"),
        );
    }
    Ok(())
}

pub(crate) fn wrong_status(vm: &Vm, why: &str) -> Problem {
    Problem::new(
        ProblemCode::WrongStatus,
        format!("VM {}: {why}", vm.asked.body.name),
    )
}
