//! The rules that protect people's machines.

use std::time::Duration;

use model::{Feature, InstallationId, ProblemCode, Status};
use wire::host::{Refusal, RefusalCode};

use super::host::FakeHost;
use super::world::{World, request};
use crate::{HostSelector, PageRequest};

#[tokio::test]
async fn an_old_report_that_arrives_last_changes_nothing() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    let early = host.report();
    world.round(&mut host).await;
    let running = world.get(id).await;
    world.deliver(&early).await;
    assert_eq!(world.get(id).await, running);
    // One of an older start is older, however high its number.
    let mut earlier_start = host.report();
    earlier_start.start = 0;
    earlier_start.number = 1000;
    earlier_start.vms[0].seen.phase = model::Phase::Failed;
    world.deliver(&earlier_start).await;
    assert_eq!(world.get(id).await, running);
}

#[tokio::test]
async fn a_vm_missing_from_a_report_is_unknown_and_not_gone() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let before = world.get(id).await;
    let number = world.plan(host.id).await.number;
    let mut cut = host.report();
    cut.vms.clear();
    (cut.capacity, cut.images, cut.features) = (None, None, None);
    world.deliver(&cut).await;
    assert_eq!(world.get(id).await, before);
    let plan = world.plan(host.id).await;
    assert_eq!((plan.number, plan.vms.len()), (number, 1));
    let hosts = world.hosts().await;
    assert_eq!(hosts[0].capacity, host.capacity, "left out means as it was");
    assert!(hosts[0].features.contains(&Feature::OCI_IMAGE));
}

#[tokio::test]
async fn asking_for_a_vm_to_go_cannot_be_answered_by_leaving_it_out() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    let mut cut = host.report();
    cut.vms.clear();
    world.deliver(&cut).await;
    let plan = world.plan(host.id).await;
    assert!(plan.vms[0].remove, "said until it is reported gone");
    world.round(&mut host).await;
    assert_eq!(world.get(id).await, None);
    assert!(world.plan(host.id).await.vms.is_empty());
}

#[tokio::test]
async fn a_host_of_another_installation_is_shown_and_gets_nothing() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let before = world.get(id).await;
    let other = InstallationId::from_random([9; 16]);
    let mut report = host.report();
    report.installation = Some(other);
    report.plan = 1000;
    report.vms[0].seen.accepted = 1000;
    report.vms[0].found = true;
    world.deliver(&report).await;
    assert_eq!(world.get(id).await, before);
    let hosts = world.hosts().await;
    assert_eq!(hosts[0].other_installation, Some(other));
    assert_eq!(hosts[0].found, 0);
    assert!(
        world.plan(host.id).await.number < 1000,
        "another's numbers are no concern of ours"
    );
    let refused = world
        .control
        .vm_create(&world.caller, request("b"))
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::NoHost);
    assert!(
        refused.problem.detail.contains("another installation"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_host_that_knows_another_content_under_our_number_makes_it_rise() {
    let (world, mut host) = World::with_host().await;
    world.create("web").await;
    world.round(&mut host).await;
    let number = world.plan(host.id).await.number;
    let mut report = host.report();
    report.refusal = Some(Refusal {
        plan: number,
        code: RefusalCode::SameNumberOtherContent,
        message: String::new(),
    });
    world.deliver(&report).await;
    let risen = world.plan(host.id).await;
    assert_eq!(risen.number, number + 1);
    // The same refusal again speaks of a number that is history.
    report.number += 1;
    world.deliver(&report).await;
    assert_eq!(world.plan(host.id).await.number, number + 1);
}

#[tokio::test]
async fn numbers_that_leave_no_room_to_rise_are_not_believed() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let before = world.get(id).await;
    let mut broken = host.report();
    broken.plan = u64::MAX;
    world.deliver(&broken).await;
    let mut broken = host.report();
    broken.vms[0].seen.boot = u64::MAX - 1;
    world.deliver(&broken).await;
    assert_eq!(world.get(id).await, before);
    world.round(&mut host).await;
    assert_eq!(world.get(id).await, before);
}

#[tokio::test]
async fn a_silent_host_makes_its_vms_unknown_until_it_speaks() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    world.pass(Duration::from_secs(29));
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    world.pass(Duration::from_secs(2));
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Unknown);
    let refused = world
        .control
        .vm_create(&world.caller, request("b"))
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::NoHost);
    world.deliver(&host.report()).await;
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
}

#[tokio::test]
async fn a_control_plane_that_was_away_gives_its_hosts_time_to_speak() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    world.pass(Duration::from_secs(3600));
    let world = world.restart(|_| ()).await;
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    world.pass(Duration::from_secs(31));
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Unknown);
}

#[tokio::test]
async fn a_host_is_found_by_name_unless_two_share_it() {
    let (world, _host) = World::with_host().await;
    let by_name = HostSelector::Name("box".parse().unwrap());
    assert!(
        world
            .control
            .host_found(&world.caller, &by_name, &PageRequest::default())
            .await
            .is_ok()
    );
    world.deliver(&FakeHost::new(2).report()).await;
    let ambiguous = world
        .control
        .host_found(&world.caller, &by_name, &PageRequest::default())
        .await
        .unwrap_err();
    assert_eq!(ambiguous.problem.code, ProblemCode::InvalidValue);
}

#[tokio::test]
async fn a_report_that_brings_nothing_new_is_heard_and_not_written() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    world.round(&mut host).await;
    let kept = |world: &World| world.control.inner.store.clone();
    let written = kept(&world)
        .read()
        .await
        .unwrap()
        .host_fetch(host.id)
        .await
        .unwrap();
    let early = host.report();
    world.pass(Duration::from_secs(25));
    world.deliver(&host.report()).await;
    let now = kept(&world)
        .read()
        .await
        .unwrap()
        .host_fetch(host.id)
        .await
        .unwrap();
    assert_eq!(now, written);
    // It counts all the same: as the newest, and against silence.
    let mut early_and_other = early;
    early_and_other.vms[0].seen.phase = model::Phase::Failed;
    world.deliver(&early_and_other).await;
    world.pass(Duration::from_secs(25));
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    world.pass(Duration::from_secs(6));
    world.control.silence_look().await.unwrap();
    assert_eq!(world.get(id).await.unwrap().status, Status::Unknown);
}
