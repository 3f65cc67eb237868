//! The rules that protect people's machines: whatever plan comes, nothing is destroyed that was not said to go.
//!
//! Control is ended, and the test speaks in its place.

use api::Vm;
use bus::{Bus, Reports};
use model::{HostId, InstallationId, Phase, Power, Status, VmId};
use testkit::Cloud;
use tokio::time::{Duration, timeout};
use wire::host::{HostPlan, HostReport, RefusalCode, VmPlan};

use crate::support::{ask, create, expect, remove};

const LIMIT: Duration = Duration::from_secs(20);

/// Whoever sends plans to a host and reads its reports.
struct Speaker {
    bus: Bus,
    host: HostId,
    reports: Reports,
    /// The plan that the host obeys.
    held: HostPlan,
}

impl Speaker {
    async fn say(&mut self, plan: &HostPlan, heard: impl Fn(&HostReport) -> bool) -> HostReport {
        self.bus.publish_plan(self.host, plan.encode()).await.unwrap();
        let waited = timeout(LIMIT, async {
            loop {
                let delivery = self.reports.next().await.unwrap();
                let report = HostReport::decode(delivery.bytes()).unwrap();
                delivery.ack();
                if report.host == self.host && heard(&report) {
                    return report;
                }
            }
        });
        waited.await.unwrap()
    }

    /// Sends a plan that the host obeys.
    async fn accepted(&mut self, plan: HostPlan) -> HostReport {
        let report = self
            .say(&plan, |report| {
                report.plan == plan.number && report.refusal.is_none()
            })
            .await;
        self.held = plan;
        report
    }

    /// Sends a plan that the host refuses.
    async fn refused(&mut self, plan: &HostPlan, code: RefusalCode) {
        let told = |report: &HostReport| {
            let refusal = report.refusal.as_ref();
            refusal.is_some_and(|refusal| refusal.code == code && refusal.plan == plan.number)
        };
        let report = self.say(plan, told).await;
        assert_eq!(report.plan, self.held.number);
    }

    /// The plan held, under the next number.
    fn next(&self) -> HostPlan {
        HostPlan {
            number: self.held.number + 1,
            ..self.held.clone()
        }
    }
}

/// Two VMs that run, and a test in control's place.
async fn two_vms() -> (Cloud, Speaker, [Vm; 2]) {
    let mut cloud = Cloud::start(1).await.unwrap();
    let entries = made(&mut cloud, &["one", "two"]).await;
    let vms = [
        expect(&cloud, "one", Status::Running).await,
        expect(&cloud, "two", Status::Running).await,
    ];
    cloud.end().await;
    let host = cloud.hosts[0].id().unwrap();
    let bytes = cloud.bus.plans(host).next().await.unwrap();
    let held = HostPlan::decode(&bytes).unwrap();
    let generations = |vms: &[VmPlan]| vms.iter().map(|vm| (vm.id, vm.generation)).collect::<Vec<_>>();
    assert_eq!(generations(&held.vms), generations(&entries));
    let speaker = Speaker {
        bus: cloud.bus.clone(),
        host,
        reports: cloud.bus.reports(),
        held: HostPlan { vms: entries, ..held },
    };
    (cloud, speaker, vms)
}

/// Asks for VMs while their host is away; gives their entries, whole: of what a host holds its plan leaves the body out.
async fn made(cloud: &mut Cloud, names: &[&str]) -> Vec<VmPlan> {
    let host = cloud.hosts[0].id().unwrap();
    cloud.hosts[0].end().await;
    let mut plans = cloud.bus.plans(host);
    for name in names {
        ask(cloud, name).await;
    }
    let whole = timeout(LIMIT, async {
        loop {
            let plan = HostPlan::decode(&plans.next().await.unwrap()).unwrap();
            if plan.vms.len() == names.len() {
                return plan.vms;
            }
        }
    });
    let entries = whole.await.unwrap();
    assert!(entries.iter().all(|vm| vm.body.is_some()), "{entries:?}");
    cloud.hosts[0].begin().await.unwrap();
    entries
}

fn phase(report: &HostReport, id: VmId) -> Option<Phase> {
    let vm = report.vms.iter().find(|vm| vm.id == id);
    vm.map(|vm| vm.seen.phase)
}

/// Both machines are the ones that were made at first, and control finds them so.
async fn untouched(mut cloud: Cloud, speaker: Speaker, vms: &[Vm; 2]) {
    drop(speaker);
    let sim = cloud.hosts[0].sim.clone();
    cloud.begin().await.unwrap();
    for vm in vms {
        expect(&cloud, &vm.name, Status::Running).await;
        assert!(sim.runs(vm.id));
    }
    assert_eq!(sim.starts(), 2);
}

#[tokio::test]
async fn an_empty_plan_destroys_nothing() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let empty = HostPlan {
        vms: Vec::new(),
        ..speaker.next()
    };
    let report = speaker.accepted(empty).await;
    for vm in &vms {
        let reported = report.vms.iter().find(|reported| reported.id == vm.id).unwrap();
        assert!(reported.found && reported.body.is_some());
        assert_eq!(reported.seen.phase, Phase::Running);
    }
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn a_plan_of_somebody_else_is_refused() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let removal = |mut plan: HostPlan| {
        for vm in &mut plan.vms {
            vm.remove = true;
        }
        plan
    };
    let installation = HostPlan {
        installation: InstallationId::from_random([7; 16]),
        ..removal(speaker.next())
    };
    speaker
        .refused(&installation, RefusalCode::OtherInstallation)
        .await;
    let host = HostPlan {
        host: HostId::from_random([7; 16]),
        ..removal(speaker.next())
    };
    speaker.refused(&host, RefusalCode::OtherHost).await;
    let same_number = removal(speaker.held.clone());
    speaker
        .refused(&same_number, RefusalCode::SameNumberOtherContent)
        .await;
    let older = HostPlan {
        number: speaker.held.number - 1,
        ..removal(speaker.held.clone())
    };
    speaker.refused(&older, RefusalCode::OlderPlan).await;
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn a_plan_that_leaves_out_what_the_host_does_not_hold_is_refused() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let mut lean = speaker.next();
    for vm in &mut lean.vms {
        vm.body = None;
    }
    // What it holds may be left out.
    speaker.accepted(lean.clone()).await;
    lean.number += 1;
    lean.vms[0].generation += 1;
    speaker.refused(&lean, RefusalCode::Incomplete).await;
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn an_entry_older_than_the_vm_is_passed_over() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let known = speaker.held.clone();
    let mut raised = speaker.next();
    for vm in &mut raised.vms {
        vm.generation += 5;
        vm.placement += 5;
    }
    speaker.accepted(raised.clone()).await;
    // Of an older generation of the same placement, and of an older placement; either asks for the worst.
    let mut old = speaker.next();
    for (vm, known) in old.vms.iter_mut().zip(&known.vms) {
        vm.generation -= 1;
        vm.remove = true;
        vm.body = known.body.clone().map(|mut body| {
            body.power = Power::Off;
            body
        });
    }
    speaker.accepted(old.clone()).await;
    old.number += 1;
    for vm in &mut old.vms {
        vm.placement -= 1;
        vm.generation += 9;
    }
    let report = speaker.accepted(old).await;
    assert!(vms.iter().all(|vm| phase(&report, vm.id) == Some(Phase::Running)));
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn a_greater_boot_of_a_running_vm_restarts_it_once() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let mut again = speaker.next();
    let wished = again.vms.iter_mut().find(|vm| vm.id == vms[0].id).unwrap();
    wished.generation += 1;
    wished.body.as_mut().unwrap().boot += 1;
    let settled = |plan: &HostPlan| {
        let number = plan.number;
        let id = vms[0].id;
        move |report: &HostReport| {
            let seen = report.vms.iter().find(|vm| vm.id == id).map(|vm| &vm.seen);
            let done = |seen: &model::Seen| seen.boot == 2 && seen.settled == seen.accepted;
            report.plan == number && phase(report, id) == Some(Phase::Running) && seen.is_some_and(done)
        }
    };
    speaker.say(&again, settled(&again)).await;
    again.number += 1;
    speaker.say(&again, settled(&again)).await;
    assert_eq!(cloud.hosts[0].sim.starts(), 3);
    assert!(vms.iter().all(|vm| cloud.hosts[0].sim.runs(vm.id)));
}

#[tokio::test]
async fn plans_may_come_twice_and_in_any_order() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let first = speaker.held.clone();
    let mut raised = speaker.next();
    for vm in &mut raised.vms {
        vm.generation += 1;
    }
    speaker.accepted(raised.clone()).await;
    speaker.refused(&first, RefusalCode::OlderPlan).await;
    // The same again takes the refusal back and changes nothing.
    speaker.accepted(raised.clone()).await;
    speaker.refused(&first, RefusalCode::OlderPlan).await;
    let newest = speaker.next();
    speaker.accepted(newest.clone()).await;
    speaker.refused(&raised, RefusalCode::OlderPlan).await;
    speaker.accepted(newest).await;
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn what_is_no_plan_is_passed_over() {
    let (cloud, mut speaker, vms) = two_vms().await;
    let whole = speaker.next().encode();
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        speaker
            .bus
            .publish_plan(speaker.host, whole[..cut].to_vec())
            .await
            .unwrap();
        tokio::task::yield_now().await;
    }
    let next = speaker.next();
    speaker.accepted(next).await;
    untouched(cloud, speaker, &vms).await;
}

#[tokio::test]
async fn a_removed_placement_is_never_made_again_but_the_next_one_is() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let entry = made(&mut cloud, &["one"]).await.remove(0);
    let vm = expect(&cloud, "one", Status::Running).await;
    let host = cloud.hosts[0].id().unwrap();
    remove(&cloud, "one").await;
    create(&cloud, "two").await;
    cloud.end().await;
    let bytes = cloud.bus.plans(host).next().await.unwrap();
    let mut speaker = Speaker {
        bus: cloud.bus.clone(),
        host,
        reports: cloud.bus.reports(),
        held: HostPlan::decode(&bytes).unwrap(),
    };
    let with = |plan: HostPlan, entry: VmPlan| {
        let mut plan = plan;
        plan.vms.push(entry);
        plan.vms.sort_by_key(|vm| vm.id);
        plan
    };
    let base = speaker.held.clone();
    // A restart makes no difference: it is written down.
    for _ in 0..2 {
        let again = HostPlan {
            number: speaker.held.number + 1,
            ..with(base.clone(), entry.clone())
        };
        let report = speaker.accepted(again).await;
        assert_eq!(phase(&report, vm.id), Some(Phase::Gone));
        assert_eq!(cloud.hosts[0].sim.starts(), 2);
        cloud.hosts[0].end().await;
        cloud.hosts[0].begin().await.unwrap();
    }
    let moved_back = VmPlan {
        placement: entry.placement + 1,
        ..entry
    };
    let plan = HostPlan {
        number: speaker.held.number + 1,
        ..with(base, moved_back)
    };
    speaker
        .say(&plan, |report| phase(report, vm.id) == Some(Phase::Running))
        .await;
    assert_eq!(cloud.hosts[0].sim.starts(), 3);
}
