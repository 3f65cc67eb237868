//! Starting, stopping and booting again: changes to what is asked, never commands.

use model::{Action, Phase, Power, Problem, Seen};
use store::Vm;

use crate::ask::wrong_status;
use crate::life::begin_again;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Asks a VM to run. One that is off or failed gets another boot; one that runs or is on its way stays as it is. One
    /// that has lived long enough gets its time to live once more.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or its host has removed it.
    pub async fn vm_start(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        let now = self.now();
        self.vm_ask(caller, selector, (Operation::VmStart, Action::Start), |vm| {
            vm.life = begin_again(&vm.life, now);
            boot_again(vm)
        })
        .await
    }

    /// Asks a VM to be off. Disk, address and host key stay.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed.
    pub async fn vm_stop(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        self.vm_ask(caller, selector, (Operation::VmStop, Action::Stop), |vm| {
            vm.asked.body.power = Power::Off;
            Ok(true)
        })
        .await
    }

    /// Asks for another boot of a VM that is asked to run, once.
    ///
    /// # Errors
    /// There is no such VM, or it is off or being removed, or its host has removed it.
    pub async fn vm_restart(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        self.vm_ask(
            caller,
            selector,
            (Operation::VmRestart, Action::Restart),
            boot_again,
        )
        .await
    }
}

/// Asks for a boot beyond those that were asked for and seen. No session outlives it, so none needs to be ended.
pub(crate) fn boot_again(vm: &mut Vm) -> Result<bool, Problem> {
    is_on_its_host(vm)?;
    let booted = seen_here(vm).map_or(0, |seen| seen.boot);
    let body = &mut vm.asked.body;
    body.power = Power::On;
    body.boot = body.boot.max(booted) + 1;
    body.barred.clear();
    Ok(true)
}

/// Refuses what needs something that its host has removed.
pub(crate) fn is_on_its_host(vm: &Vm) -> Result<(), Problem> {
    if seen_here(vm).is_some_and(|seen| seen.phase == Phase::Gone) {
        return Err(
            wrong_status(vm, "its host has removed it, so there is nothing to start")
                .hint("remove it here too (pwctl rm) and create it again"),
        );
    }
    Ok(())
}

pub(crate) fn seen_here(vm: &Vm) -> Option<&Seen> {
    vm.seen
        .as_ref()
        .filter(|seen| seen.placement == vm.asked.placement)
}
