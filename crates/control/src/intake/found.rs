//! What a report says of VMs that no plan names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{HostId, Phase, VmId};
use store::{Found, Read, Vm};
use wire::host::{HostReport, VmReport};

use crate::Error;
use crate::change::Change;

/// Whether a report changes what was found on its host. `vms` are those asked for there.
pub(super) async fn is_news(read: &mut Read, vms: &[Vm], report: &HostReport) -> Result<bool, Error> {
    let mut known = known(read, report.host).await?;
    let mut reported = reported(vms, report);
    let all_known = reported.all(|vm| known.remove(&vm.id).is_some_and(|known| is_as_known(&known, vm)));
    Ok(!all_known || !known.is_empty())
}

/// Replaces what was found on a host by what it reports as such. `vms` are those asked for there.
pub(super) async fn take(change: &mut Change, vms: &[Vm], report: &HostReport) -> Result<(), Error> {
    let mut known = known(change, report.host).await?;
    let now = change.now;
    for vm in reported(vms, report) {
        if known.remove(&vm.id).is_none_or(|known| !is_as_known(&known, vm)) {
            change.found_put(&found(report.host, vm, now)).await?;
        }
    }
    for vm in known.into_keys() {
        change.found_delete(report.host, vm).await?;
    }
    Ok(())
}

async fn known(read: &mut Read, host: HostId) -> Result<BTreeMap<VmId, Found>, Error> {
    let known = read.found_list_of_host(host).await?;
    Ok(known.into_iter().map(|found| (found.vm, found)).collect())
}

/// What is reported as found and not asked for: its host may not have heard yet that one was adopted.
fn reported<'a>(vms: &'a [Vm], report: &'a HostReport) -> impl Iterator<Item = &'a VmReport> {
    let asked = |id| vms.iter().any(|vm| vm.asked.id == id);
    report
        .vms
        .iter()
        .filter(move |vm| vm.found && vm.seen.phase != Phase::Gone && !asked(vm.id))
}

fn is_as_known(known: &Found, vm: &VmReport) -> bool {
    *known == found(known.host, vm, known.observed_at)
}

fn found(host: HostId, vm: &VmReport, observed_at: Timestamp) -> Found {
    let mut seen = vm.seen.clone();
    seen.stage = None;
    Found {
        host,
        vm: vm.id,
        seen,
        body: vm.body.clone(),
        observed_at,
    }
}
