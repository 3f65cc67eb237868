//! What a host says of itself, made from what its tasks show. A pure function.

use std::collections::BTreeMap;

use model::{Phase, Seen, VmId};
use wire::host::{HostPlan, VmReport};

use crate::vm::VmView;

/// The VMs of a report: all the host has, and those its plan names that are gone.
pub(crate) fn vms(
    views: &BTreeMap<VmId, VmView>,
    plan: Option<&HostPlan>,
    removed: impl Fn(VmId) -> Option<u64>,
) -> Vec<VmReport> {
    let named = |id: VmId| plan.is_some_and(|plan| plan.vms.iter().any(|vm| vm.id == id));
    let present = views.iter().map(|(&id, view)| {
        let found = !named(id);
        VmReport {
            id,
            seen: view.seen(),
            found,
            body: found.then(|| view.body.clone()),
        }
    });
    let gone = plan.into_iter().flat_map(|plan| &plan.vms).filter_map(|vm| {
        let is_gone =
            !views.contains_key(&vm.id) && removed(vm.id).is_some_and(|removed| removed >= vm.placement);
        is_gone.then(|| VmReport {
            id: vm.id,
            seen: gone(vm.placement, vm.generation),
            found: false,
            body: None,
        })
    });
    present.chain(gone).collect()
}

const fn gone(placement: u64, generation: u64) -> Seen {
    Seen {
        placement,
        accepted: generation,
        settled: generation,
        phase: Phase::Gone,
        boot: 0,
        rootfs: 0,
        reason: None,
        stage: None,
        address: None,
        ssh_port: None,
        login: None,
        host_keys: Vec::new(),
        image_digest: None,
        service: None,
        powered_off: false,
        idle: model::Idle::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, id, plan};

    fn view(name: &str) -> VmView {
        VmView {
            placement: 1,
            accepted: 1,
            settled: 1,
            phase: Phase::Running,
            boot: 1,
            rootfs: 1,
            reason: None,
            stage: None,
            address: None,
            ssh_port: Some(2222),
            host_keys: vec![],
            image: None,
            service: None,
            powered_off: false,
            idle: model::Idle::Active,
            body: body(name),
        }
    }

    #[test]
    fn what_the_plan_does_not_name_is_found_and_what_was_removed_is_gone() {
        let views = BTreeMap::from([(id("a"), view("a")), (id("b"), view("b"))]);
        let reported = vms(&views, Some(&plan(3, &["a", "c", "d"])), |vm| {
            (vm == id("c")).then_some(1)
        });
        let seen: Vec<_> = reported
            .iter()
            .map(|vm| (vm.id, vm.seen.phase, vm.found, vm.body.is_some()))
            .collect();
        assert_eq!(
            seen,
            [
                (id("a"), Phase::Running, false, false),
                (id("b"), Phase::Running, true, true),
                (id("c"), Phase::Gone, false, false),
            ]
        );
    }

    #[test]
    fn a_host_without_a_plan_reports_all_as_found() {
        let views = BTreeMap::from([(id("a"), view("a"))]);
        assert!(vms(&views, None, |_| None).iter().all(|vm| vm.found));
    }
}
