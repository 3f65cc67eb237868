//! A crowd boots a few after a few.

use std::time::Duration;

use driver::Needs;
use model::{Phase, VmId};
use orchestrator::BootLimits;
use wire::host::{HostReport, VmPlan};

use crate::host::{Host, LIMIT, seen, until_true, vm};

const CROWD: u8 = 6;

const TWO: BootLimits = BootLimits {
    at_once: 2,
    patience: LIMIT,
};

/// A host on which a crowd is asked for, whose guests say nothing yet.
async fn crowded(boots: BootLimits) -> Host {
    let mut host = Host::start(Needs::default(), boots).await;
    host.guests.speak.send_replace(false);
    host.ask(wishes()).await;
    host
}

fn wishes() -> Vec<VmPlan> {
    (0..CROWD).map(|number| vm(number, "debian:12")).collect()
}

fn waits(report: &HostReport, vm: VmId) -> bool {
    seen(report, vm).is_some_and(|seen| {
        let stage = seen.stage.as_ref().map(|stage| stage.what.as_str());
        (seen.phase, stage) == (Phase::BuildingFilesystem, Some("waiting for its turn to boot"))
    })
}

fn count(report: &HostReport, holds: impl Fn(&HostReport, VmId) -> bool) -> usize {
    report.vms.iter().filter(|vm| holds(report, vm.id)).count()
}

fn runs(report: &HostReport, vm: VmId) -> bool {
    seen(report, vm).is_some_and(|seen| seen.phase == Phase::Running)
}

/// Waits until two boot and the others wait.
async fn two_boot(host: &mut Host) -> HostReport {
    let others = usize::from(CROWD) - 2;
    let told = |report: &HostReport| {
        let boots = |report: &HostReport, vm| {
            seen(report, vm).is_some_and(|seen: &model::Seen| seen.phase == Phase::Booting)
        };
        (count(report, waits), count(report, boots)) == (others, 2)
    };
    host.report("two boot and the others wait", told).await
}

async fn all_run(host: &mut Host) {
    host.guests.speak.send_replace(true);
    let all = |report: &HostReport| count(report, runs) == usize::from(CROWD);
    host.report("all run", all).await;
}

#[tokio::test]
async fn a_crowd_waits_for_its_turns_and_one_that_goes_gives_its_own_back() {
    let mut host = crowded(TWO).await;
    let report = two_boot(&mut host).await;
    assert_eq!(host.sim.starts(), 2);
    let booting = report.vms.iter().find(|vm| !waits(&report, vm.id)).unwrap().id;
    let mut vms = wishes();
    for vm in vms.iter_mut().filter(|vm| vm.id == booting) {
        vm.remove = true;
    }
    host.ask(vms).await;
    until_true("the next one boots", || host.sim.starts() == 3).await;
    // One that waits goes as well as one that boots.
    let report = host
        .report("three wait", |report| count(report, waits) == 3)
        .await;
    let waiting = report.vms.iter().find(|vm| waits(&report, vm.id)).unwrap().id;
    let mut vms = host.plan.vms.clone();
    for vm in vms.iter_mut().filter(|vm| vm.id == waiting) {
        vm.remove = true;
    }
    host.ask(vms).await;
    host.report("two wait", |report| count(report, waits) == 2).await;
    assert_eq!(host.sim.starts(), 3);
    host.guests.speak.send_replace(true);
    host.report("the others run", |report| count(report, runs) == 4)
        .await;
}

#[tokio::test]
async fn a_rebooted_host_starts_its_vms_a_few_after_a_few() {
    let mut host = crowded(TWO).await;
    all_run(&mut host).await;
    host.kill().await;
    host.sim.forget_everything();
    host.guests.speak.send_replace(false);
    host.begin().await;
    two_boot(&mut host).await;
    assert_eq!(host.sim.starts(), u32::from(CROWD) + 2);
    all_run(&mut host).await;
    assert_eq!(host.sim.starts(), 2 * u32::from(CROWD));
}

#[tokio::test]
async fn ones_that_hang_hold_up_the_others_only_for_a_while() {
    let mut host = crowded(BootLimits {
        patience: Duration::from_millis(300),
        ..TWO
    })
    .await;
    two_boot(&mut host).await;
    until_true("all boot", || host.sim.starts() == u32::from(CROWD)).await;
    all_run(&mut host).await;
}
