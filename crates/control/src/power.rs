//! Starting and stopping: changes to what is asked, never commands.

use model::{Phase, Power, Problem, Seen, Status};
use store::Vm;

use crate::ask::{not_on_its_way_out, wrong_status};
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Asks a VM to run. One that is off or failed gets another boot; one that runs or is on its way stays as it is.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or its host has removed it.
    pub async fn vm_start(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        self.vm_ask(caller, selector, Operation::VmStart, start).await
    }

    /// Asks a VM to be off. Disk, address and host key stay.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed.
    pub async fn vm_stop(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        self.vm_ask(caller, selector, Operation::VmStop, stop).await
    }
}

fn start(vm: &mut Vm) -> Result<bool, Problem> {
    not_on_its_way_out(vm, "started")?;
    let seen = seen_here(vm);
    if seen.is_some_and(|seen| seen.phase == Phase::Gone) {
        return Err(
            wrong_status(vm, "its host has removed it, so there is nothing to start")
                .hint("remove it here too (pwctl rm) and create it again"),
        );
    }
    // Silence is no part of this: what was seen last decides, and a host that is away hears of it when it returns.
    let status = model::status(&vm.asked, vm.seen.as_ref(), false).status;
    let runs = match status {
        Status::Init | Status::BuildingFilesystem | Status::Booting | Status::Running => {
            vm.asked.body.power == Power::On
        }
        Status::Stopping | Status::Stopped | Status::Error | Status::Deleting | Status::Unknown => false,
    };
    if runs {
        return Ok(false);
    }
    let booted = seen.map_or(0, |seen| seen.boot);
    let body = &mut vm.asked.body;
    body.power = Power::On;
    body.boot = body.boot.max(booted) + 1;
    Ok(true)
}

fn stop(vm: &mut Vm) -> Result<bool, Problem> {
    not_on_its_way_out(vm, "stopped")?;
    let changed = vm.asked.body.power == Power::On;
    vm.asked.body.power = Power::Off;
    Ok(changed)
}

fn seen_here(vm: &Vm) -> Option<&Seen> {
    vm.seen
        .as_ref()
        .filter(|seen| seen.placement == vm.asked.placement)
}
