//! Asking for something else of a VM that is there: its keys here, its power in `power`. Each is a change to what is
//! asked, decided by a pure function, in one transaction that raises the generation.

use model::{Problem, ProblemCode};
use store::Vm;

use crate::request::check_keys;
use crate::vm::vm_find;
use crate::{Caller, ChangeVm, Control, Error, VmSelector, VmView};

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
        self.vm_ask(caller, selector, "change", |vm| change(vm, wish))
            .await
    }

    /// Changes what is asked of a VM by a pure function, which gives whether it changed anything.
    pub(crate) async fn vm_ask(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        what: &'static str,
        ask: impl FnOnce(&mut Vm) -> Result<bool, Problem> + Send,
    ) -> Result<VmView, Error> {
        let mut change = self.change().await?;
        let before = vm_find(&mut change, selector).await?;
        let mut now = before.clone();
        if !ask(&mut now)? {
            return Ok(self.view(before));
        }
        now.asked.generation += 1;
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %now.asked.id, vm.generation = now.asked.generation, token.id = %caller.token, "vm asked to {what}"
        );
        Ok(self.view(now))
    }
}

fn change(vm: &mut Vm, wish: ChangeVm) -> Result<bool, Problem> {
    not_on_its_way_out(vm, "changed")?;
    let Some(keys) = wish.keys else {
        return Ok(false);
    };
    check_keys(&keys)?;
    let changed = vm.asked.body.authorized_keys != keys;
    vm.asked.body.authorized_keys = keys;
    Ok(changed)
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
