//! Another size: processors and memory at the next boot, disks that only grow.

use model::{Action, ByteSize, Problem, ProblemCode, VmBody};
use store::Vm;

use crate::ask::fits;
use crate::create::snapshots;
use crate::place::{HostSnapshot, Request, capacity_of, place};
use crate::power::boot_again;
use crate::request::check_size;
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

/// The size that a VM shall have. What is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResizeVm {
    /// Virtual processors.
    pub cpus: Option<u32>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Writable disk.
    pub disk: Option<ByteSize>,
    /// Whether to boot it again, so that it has the new size at once.
    pub restart: bool,
}

impl Control {
    /// Asks for another size of a VM. Its host must have room for it.
    ///
    /// # Errors
    /// There is no such VM, its status does not fit, a disk would shrink, a value is out of range, or its host has no
    /// room.
    pub async fn vm_resize(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        wish: ResizeVm,
    ) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::VmResize).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmResize).await?;
        let body = resized(&before.asked.body, wish)?;
        if !fits(&before, action(&before.asked.body, wish))? || body == before.asked.body {
            return Ok(self.view(before));
        }
        let mut hosts = snapshots(&mut change, self.inner.installation).await?;
        hosts.retain(|host| host.id == before.host);
        has_room(hosts, &before, &body)?;
        let mut now = before.clone();
        now.asked.body = body;
        now.asked.generation += 1;
        if wish.restart && before.asked.body.power == model::Power::On {
            boot_again(&mut now)?;
        }
        change.about(now.asked.id);
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        Ok(self.view(now))
    }
}

/// What the wish is to the table of actions.
fn action(body: &VmBody, wish: ResizeVm) -> Action {
    let grows_only = wish.cpus.is_none_or(|cpus| cpus == body.cpus)
        && wish.memory.is_none_or(|memory| memory == body.memory);
    match (grows_only, wish.restart) {
        (_, true) => Action::ResizeAndRestart,
        (true, false) => Action::Grow,
        (false, false) => Action::Resize,
    }
}

fn resized(body: &VmBody, wish: ResizeVm) -> Result<VmBody, Problem> {
    let mut body = body.clone();
    if let Some(disk) = wish.disk.filter(|disk| *disk < body.disk) {
        return Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("the disk has {}, and disks only grow; {disk} is less", body.disk),
        )
        .hint("create a smaller VM and copy what it needs")
        .at("/disk_bytes"));
    }
    body.cpus = wish.cpus.unwrap_or(body.cpus);
    body.memory = wish.memory.unwrap_or(body.memory);
    body.disk = wish.disk.unwrap_or(body.disk);
    check_size(body.cpus, body.memory, body.disk)?;
    Ok(body)
}

/// Refuses what the VM's host has no room for beside everything else on it. Getting smaller is always possible.
fn has_room(mut hosts: Vec<HostSnapshot>, before: &Vm, body: &VmBody) -> Result<(), Problem> {
    let (had, takes) = (capacity_of(&before.asked.body), capacity_of(body));
    let grows =
        takes.cpus > had.cpus || takes.memory_bytes > had.memory_bytes || takes.disk_bytes > had.disk_bytes;
    if !grows {
        return Ok(());
    }
    for host in &mut hosts {
        host.booked.cpus = host.booked.cpus.saturating_sub(had.cpus);
        host.booked.memory_bytes = host.booked.memory_bytes.saturating_sub(had.memory_bytes);
        host.booked.disk_bytes = host.booked.disk_bytes.saturating_sub(had.disk_bytes);
        // It hears of it when it returns.
        host.silent = false;
    }
    place(&hosts, &Request::of(body))
        .map(|_| ())
        .map_err(|refusal| refusal.into_problem())
}
