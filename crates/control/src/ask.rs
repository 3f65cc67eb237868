//! Asking for something else of a VM that is there: its power in `power`, its size in `resize`, what else may be changed
//! in `patch`. Each is a change to what is asked, decided by a pure function, in one transaction that raises the
//! generation.

use model::{Action, Misfit, Problem, ProblemCode, Verdict, status_for_action, verdict};
use store::Vm;

use crate::disable::owner_is_enabled;
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Changes what is asked of a VM by a pure function, if the table of actions lets it be done. Where the table or the
    /// function says that it is so already, nothing is written.
    pub(crate) async fn vm_ask(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        (operation, action): (Operation, Action),
        ask: impl FnOnce(&mut Vm) -> Result<bool, Problem> + Send,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, operation).await?;
        let before = vm_find(&mut change, caller, selector, operation).await?;
        let mut now = before.clone();
        if !fits(&before, action)? || !ask(&mut now)? {
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

/// Whether an action changes anything of a VM as it is.
///
/// # Errors
/// The action does not fit the VM's status.
pub(crate) fn fits(vm: &Vm, action: Action) -> Result<bool, Problem> {
    match action {
        Action::Start | Action::Restart | Action::ResizeAndRestart => owner_is_enabled(vm)?,
        Action::Stop
        | Action::Rebuild
        | Action::Resize
        | Action::Grow
        | Action::Extend
        | Action::Change
        | Action::Delete => {}
    }
    let status = status_for_action(&vm.asked, vm.seen.as_ref());
    match verdict(action, status) {
        Verdict::Accepted => Ok(true),
        Verdict::NoOp => Ok(false),
        Verdict::Refused(misfit) => Err(refused(vm, action, misfit)),
    }
}

fn refused(vm: &Vm, action: Action, misfit: Misfit) -> Problem {
    let name = &vm.asked.body.name;
    match misfit {
        Misfit::Going => wrong_status(
            vm,
            &format!("it is being removed, so there is no {action} any more"),
        )
        .hint("create it again under the same name, which is free already"),
        Misfit::Off => wrong_status(
            vm,
            &format!("it is off or on its way there, so there is no {action}"),
        )
        .hint(format!("start it: pwctl start {name}")),
        Misfit::NotOff => wrong_status(vm, "processors and memory are another only after the next boot")
            .hint(format!(
                "stop it first (pwctl stop {name}), or resize it with --restart"
            )),
    }
}

pub(crate) fn wrong_status(vm: &Vm, why: &str) -> Problem {
    Problem::new(
        ProblemCode::WrongStatus,
        format!("VM {}: {why}", vm.asked.body.name),
    )
}
