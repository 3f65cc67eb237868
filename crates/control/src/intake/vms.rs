//! The VMs of a report, against what is asked. What a guest did to its own power becomes what is asked of it.

use std::collections::BTreeMap;

use model::{Idle, Phase, Power, Seen, VmId};
use store::Vm;
use wire::host::{HostReport, VmReport};

use crate::change::Change;
use crate::view::status_of;
use crate::{Ending, Error, EventKind, life};

/// Each VM with what a report says of it.
pub(super) fn pairs<'a>(
    vms: &'a [Vm],
    report: &'a HostReport,
) -> impl Iterator<Item = (&'a Vm, Option<&'a VmReport>)> {
    let reported: BTreeMap<VmId, &VmReport> = report.vms.iter().map(|vm| (vm.id, vm)).collect();
    vms.iter()
        .map(move |vm| (vm, reported.get(&vm.asked.id).copied()))
}

/// The VMs that are asked for on its host and of which a report changes anything.
pub(super) fn news<'a>(vms: &'a [Vm], report: &'a HostReport) -> impl Iterator<Item = VmId> {
    let is_news = |vm: &Vm, entry: &VmReport| {
        let seen = Some(merge(vm.seen.as_ref(), &entry.seen));
        let known = &mut vm.clone();
        is_gone(vm, &entry.seen) || vm.seen != seen || raise_above(known, false) || ask_off(known)
    };
    pairs(vms, report)
        .filter(move |(vm, entry)| entry.is_some_and(|entry| is_news(vm, entry)))
        .map(|(vm, _)| vm.asked.id)
}

/// Takes in what a report says of the VMs that are asked for on its host. `raise` lets every generation rise, because
/// this memory was set back and may have given the same ones before.
pub(super) async fn take(
    change: &mut Change,
    vms: &[Vm],
    report: &HostReport,
    raise: bool,
) -> Result<(), Error> {
    let mut newly_seen = Vec::new();
    for (vm, entry) in pairs(vms, report) {
        match entry {
            Some(entry) if is_gone(vm, &entry.seen) => gone(change, vm).await?,
            Some(_) | None => newly_seen.extend(take_one(change, vm, entry, raise).await?),
        }
    }
    let at = change.now;
    change.seen_put(&newly_seen, at).await?;
    Ok(())
}

/// Gives what is to be kept as seen of it, where that is another than before.
async fn take_one(
    change: &mut Change,
    vm: &Vm,
    entry: Option<&VmReport>,
    raise: bool,
) -> Result<Option<(VmId, Seen)>, Error> {
    let mut newly_seen = None;
    let mut now = vm.clone();
    // The host has spoken, whether of this VM or not.
    now.host_silent = false;
    if let Some(entry) = entry {
        let seen = merge(vm.seen.as_ref(), &entry.seen);
        if vm.seen.as_ref() != Some(&seen) {
            newly_seen = Some((vm.asked.id, seen.clone()));
            change.touches(vm.asked.id);
        }
        now.seen = Some(seen);
    }
    let raised = raise_above(&mut now, raise);
    let powered_off = ask_off(&mut now);
    if powered_off {
        tracing::info!(vm.id = %vm.asked.id, vm.boot = vm.asked.body.boot, "the vm ended or is idle; it is asked to be off");
    }
    if becomes_idle(vm, &now)
        && let Some(after) = now.asked.body.idle_after
    {
        let ending = EventKind::Ending {
            ending: Ending::Idle,
            seconds: life::warning(Some(after)).unsigned_abs().as_secs(),
        };
        change.event(now.asked.id, now.asked.generation, &ending).await?;
    }
    if raised || powered_off {
        let request = vm.request.as_ref().filter(|_| !powered_off);
        change.vm_asked_update(&now.asked, request).await?;
        let changed = EventKind::Changed;
        change.event(now.asked.id, now.asked.generation, &changed).await?;
        change.replan(now.host);
    }
    change.status(Some(status_of(vm)), &now).await?;
    Ok(newly_seen)
}

async fn gone(change: &mut Change, vm: &Vm) -> Result<(), Error> {
    let (id, generation) = (vm.asked.id, vm.asked.generation);
    // Before its people are forgotten with it, so that they are told.
    change.event(id, generation, &EventKind::Deleted).await?;
    change.vm_delete(id).await?;
    change.replan(vm.host);
    tracing::info!(vm.id = %id, host.id = %vm.host, "vm gone");
    Ok(())
}

/// Whether a VM that was asked to go is gone. One that is gone without having been asked to stays, as an error.
fn is_gone(vm: &Vm, seen: &Seen) -> bool {
    vm.asked.remove && seen.phase == Phase::Gone && seen.placement >= vm.asked.placement
}

/// What is kept of a VM: what was seen now, and of the parts that may be left out, what was seen before of the same
/// placement.
fn merge(before: Option<&Seen>, now: &Seen) -> Seen {
    let mut seen = now.clone();
    seen.stage = None;
    let Some(before) = before.filter(|before| before.placement == now.placement) else {
        return seen;
    };
    seen.address = seen.address.or(before.address);
    seen.ssh_port = seen.ssh_port.or(before.ssh_port);
    seen.login = seen.login.or_else(|| before.login.clone());
    seen.image_digest = seen.image_digest.or(before.image_digest);
    if seen.host_keys.is_empty() {
        seen.host_keys.clone_from(&before.host_keys);
    }
    seen
}

/// Raises our numbers of a VM above those its host has, if the host is ahead. Boot and root file system are raised to
/// the host's own and not above, so that nothing is done again. Gives whether anything rose.
fn raise_above(vm: &mut Vm, raise: bool) -> bool {
    let Some(seen) = &vm.seen else {
        return false;
    };
    let asked = &mut vm.asked;
    let ahead = seen.placement > asked.placement
        || seen.accepted > asked.generation
        || seen.boot > asked.body.boot
        || seen.rootfs > asked.body.rootfs;
    if !ahead && !raise {
        return false;
    }
    asked.placement = asked.placement.max(seen.placement);
    asked.generation = asked.generation.max(seen.accepted) + 1;
    asked.body.boot = asked.body.boot.max(seen.boot);
    asked.body.rootfs = asked.body.rootfs.max(seen.rootfs);
    true
}

/// A guest that powered itself off at the boot that is asked, or is idle for as long as it may be, is asked to be off: what people see and what stands in the
/// plan agree, and only a start asks for another boot. One that is late changes nothing: the boot asked is a greater
/// one by then. Gives whether that changed anything.
fn ask_off(vm: &mut Vm) -> bool {
    let asked = &mut vm.asked;
    let is_idle = |seen: &Seen| asked.body.idle_after.is_some() && seen.idle == Idle::Idle;
    let powered_off = vm.seen.as_ref().is_some_and(|seen| {
        (seen.powered_off || is_idle(seen))
            && seen.placement == asked.placement
            && seen.boot == asked.body.boot
    });
    if !powered_off || asked.remove || asked.body.power == Power::Off {
        return false;
    }
    asked.body.power = Power::Off;
    asked.generation += 1;
    true
}

/// Whether a VM that nobody uses has just come near to being stopped for it.
fn becomes_idle(before: &Vm, now: &Vm) -> bool {
    let soon = |vm: &Vm| vm.seen.as_ref().is_some_and(|seen| seen.idle == Idle::Soon);
    soon(now) && !soon(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            placement: 1,
            accepted: 1,
            settled: 1,
            phase: Phase::Running,
            boot: 1,
            rootfs: 1,
            reason: None,
            stage: None,
            address: Some([172, 30, 0, 3].into()),
            ssh_port: Some(2222),
            login: Some("fred".into()),
            host_keys: vec!["ssh-ed25519 AAAA".into()],
            image_digest: None,
            service: None,
            powered_off: false,
            idle: model::Idle::Active,
        }
    }

    #[test]
    fn parts_left_out_stay_as_they_were_within_a_placement() {
        let before = seen();
        let lean = Seen {
            address: None,
            ssh_port: None,
            login: None,
            host_keys: vec![],
            ..seen()
        };
        assert_eq!(merge(Some(&before), &lean), before);
        let moved = Seen { placement: 2, ..lean };
        assert_eq!(merge(Some(&before), &moved), moved);
    }
}
