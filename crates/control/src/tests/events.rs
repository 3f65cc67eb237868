//! Events: in the order of commits, with their change, and progress that is never kept.

use std::time::Duration;

use model::{Reason, ReasonCode, Stage, Status};

use super::world::{World, request};
use crate::{Event, EventKind, Events};

async fn next(events: &mut Events) -> Option<Event> {
    let waited = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    waited.expect("an event within 10 s").unwrap()
}

#[tokio::test]
async fn the_life_of_a_vm_is_told_in_order_and_ends() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.create("other").await;
    let mut events = world
        .control
        .vm_events(&world.caller, Some(&id.into()), Some(0))
        .await
        .unwrap();
    world.round(&mut host).await;
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    world.round(&mut host).await;
    let mut told = Vec::new();
    let mut last = 0;
    while let Some(event) = next(&mut events).await {
        assert_eq!(event.vm, id);
        assert!(event.sequence.unwrap() > last);
        last = event.sequence.unwrap();
        told.push(if let EventKind::Status { status, .. } = event.what {
            status.as_str()
        } else {
            event.what.as_str()
        });
    }
    assert_eq!(
        told,
        ["created", "INIT", "RUNNING", "changed", "DELETING", "deleted"]
    );
}

#[tokio::test]
async fn a_follower_resumes_behind_the_last_it_knows() {
    let (world, _host) = World::with_host().await;
    world.create("a").await;
    let mut all = world
        .control
        .vm_events(&world.caller, None, Some(0))
        .await
        .unwrap();
    let first = next(&mut all).await.unwrap();
    let mut rest = world
        .control
        .vm_events(&world.caller, None, first.sequence)
        .await
        .unwrap();
    assert_eq!(next(&mut rest).await, next(&mut all).await);
    let mut now = world.control.vm_events(&world.caller, None, None).await.unwrap();
    let mut never_given = world
        .control
        .vm_events(&world.caller, None, Some(999))
        .await
        .unwrap();
    let created = world.create("b").await.asked.id;
    for events in [&mut now, &mut never_given, &mut all] {
        let event = next(events).await.unwrap();
        assert_eq!((event.vm, event.what.as_str()), (created, "created"));
    }
}

#[tokio::test]
async fn progress_is_told_live_and_never_kept() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    host.take(world.plan(host.id).await);
    let mut events = world
        .control
        .vm_events(&world.caller, Some(&id.into()), None)
        .await
        .unwrap();
    let stage = Stage {
        what: "pulling layer 1 of 2".into(),
        done: 1,
        total: 2,
    };
    let mut report = host.report();
    report.vms[0].seen.phase = model::Phase::BuildingFilesystem;
    report.vms[0].seen.stage = Some(stage.clone());
    world.deliver(&report).await;
    let (a, b) = (next(&mut events).await.unwrap(), next(&mut events).await.unwrap());
    let progress = [&a, &b]
        .into_iter()
        .find(|event| event.sequence.is_none())
        .unwrap();
    assert_eq!(progress.what, EventKind::Progress { stage: stage.clone() });
    assert_eq!(world.get(id).await.unwrap().stage, Some(stage));
    drop(events);
    let world = world.restart(|_| ()).await;
    assert_eq!(world.get(id).await.unwrap().stage, None);
    host.work();
    world.deliver(&host.report()).await;
    let mut kept = world
        .control
        .vm_events(&world.caller, Some(&id.into()), Some(0))
        .await
        .unwrap();
    let mut words = Vec::new();
    for _ in 0..4 {
        words.push(next(&mut kept).await.unwrap().what.as_str().to_owned());
    }
    assert_eq!(words, ["created", "status", "status", "status"]);
}

#[tokio::test]
async fn a_reason_is_told_with_its_status() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    host.take(world.plan(host.id).await);
    let reason = Reason::lasting(ReasonCode::ImageNotFound, "no such image", "check its name");
    let mut report = host.report();
    report.vms[0].seen.phase = model::Phase::Failed;
    report.vms[0].seen.reason = Some(reason.clone());
    let mut events = world
        .control
        .vm_events(&world.caller, Some(&id.into()), None)
        .await
        .unwrap();
    world.deliver(&report).await;
    assert_eq!(
        next(&mut events).await.unwrap().what,
        EventKind::Status {
            status: Status::Error,
            reason: Some(reason.clone())
        }
    );
    assert_eq!(world.get(id).await.unwrap().reason, Some(reason));
}

#[tokio::test]
async fn concurrent_changes_are_followed_without_a_gap() {
    let (world, _host) = World::with_host().await;
    let mut events = world
        .control
        .vm_events(&world.caller, None, Some(0))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (control, caller) = (world.control.clone(), world.caller.clone());
        tasks.spawn(async move {
            control
                .vm_create(&caller, request(&format!("vm{number}")))
                .await
                .is_ok()
        });
    }
    for expected in 1..=16 {
        assert_eq!(next(&mut events).await.unwrap().sequence, Some(expected));
    }
    assert!(tasks.join_all().await.into_iter().all(|created| created));
}

#[tokio::test]
async fn a_status_change_is_announced_on_the_bus() {
    let (world, mut host) = World::with_host().await;
    let mut statuses = world.control.inner.bus.statuses();
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    for status in [Status::Init, Status::Running] {
        let message = statuses.next().await.unwrap();
        assert_eq!((message.vm, message.status), (id, status));
    }
}
