//! Events: in the order of commits, with their change, and progress that is never kept.

use std::sync::Arc;
use std::time::Duration;

use model::{Reason, ReasonCode, Role, Stage, Status};

use super::world::{World, request};
use crate::{Event, EventKind, Events, Since};

async fn next(events: &mut Events) -> Option<Arc<Event>> {
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
        .events(&world.caller, Some(&id.into()), Since::First)
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
        told.push(if let EventKind::Status { status, .. } = &event.what {
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
        .events(&world.caller, None, Since::First)
        .await
        .unwrap();
    let first = next(&mut all).await.unwrap();
    let id = all.id(&first).unwrap();
    let mut rest = follow(&world, Since::Id(&id)).await;
    assert_eq!(next(&mut rest).await, next(&mut all).await);
    let mut now = follow(&world, Since::Now).await;
    assert!(!now.is_reset());
    let created = world.create("b").await.asked.id;
    for events in [&mut now, &mut all] {
        let event = next(events).await.unwrap();
        assert_eq!((event.vm, event.what.as_str()), (created, "created"));
    }
}

async fn follow(world: &World, since: Since<'_>) -> Events {
    world.control.events(&world.caller, None, since).await.unwrap()
}

#[tokio::test]
async fn an_id_that_says_nothing_here_begins_anew() {
    let (world, _host) = World::with_host().await;
    world.create("a").await;
    let mut all = follow(&world, Since::First).await;
    let first = next(&mut all).await.unwrap();
    let known = all.id(&first).unwrap();
    let never_given = known.replace("-1", "-999");
    for id in ["nonsense", "1", never_given.as_str()] {
        let mut events = follow(&world, Since::Id(id)).await;
        assert!(events.is_reset(), "{id}");
        let created = world.create(&format!("vm{}", id.len())).await.asked.id;
        assert_eq!(next(&mut events).await.unwrap().vm, created);
    }
    assert!(!follow(&world, Since::Id(&known)).await.is_reset());
    let last = world.control.inner.feed.position();
    forget(&world, last - 1).await;
    assert!(follow(&world, Since::Id(&known)).await.is_reset());
}

async fn forget(world: &World, last: u64) {
    let mut write = world.control.inner.store.write().await.unwrap();
    write.event_prune(last).await.unwrap();
    write.commit().await.unwrap();
}

/// A quiet week: everything is forgotten, and only whoever knew the last of it has missed nothing.
#[tokio::test]
async fn nothing_is_missed_in_silence_where_all_is_forgotten() {
    let (world, _host) = World::with_host().await;
    world.create("a").await;
    let mut all = follow(&world, Since::First).await;
    let (first, last) = (next(&mut all).await.unwrap(), next(&mut all).await.unwrap());
    let [first, last] = [first, last].map(|event| all.id(&event).unwrap());
    forget(&world, 2).await;
    assert!(follow(&world, Since::Id(&first)).await.is_reset());
    assert!(!follow(&world, Since::Id(&last)).await.is_reset());
    let greatest = crate::follow::id_of(world.control.installation(), u64::MAX);
    assert!(follow(&world, Since::Id(&greatest)).await.is_reset());
    world.create("b").await;
    assert!(follow(&world, Since::Id(&greatest)).await.is_reset());
}

#[tokio::test]
async fn a_follower_that_is_dropped_leaves_nothing_behind() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let quiet = world.create("quiet").await.asked.id;
    let feed = &world.control.inner.feed;
    let stays = world.control.events(&ann, None, Since::Now).await.unwrap();
    for caller in [&ann, &world.caller] {
        drop(world.control.events(caller, None, Since::Now).await.unwrap());
    }
    let of_one = world
        .control
        .events(&world.caller, Some(&quiet.into()), Since::Now)
        .await
        .unwrap();
    drop(of_one.into_stream());
    assert_eq!(feed.followers(), 1);
    drop(stays);
    assert_eq!(feed.followers(), 0);
}

/// A later version of Pitwall wrote it, or it is damaged.
#[tokio::test]
async fn an_event_that_cannot_be_read_holds_nothing_up() {
    let (world, _host) = World::with_host().await;
    let mut live = follow(&world, Since::Now).await;
    let id = world.create("a").await.asked.id;
    let mut change = world.control.change().await.unwrap();
    let unknown = store::NewEvent {
        at: change.now,
        kind: "unheard_of",
        vm: id,
        generation: 1,
        data: r#"{"type":"unheard_of"}"#.to_owned(),
        audience: None,
    };
    let unknown = store::Record {
        events: &[unknown],
        ..Default::default()
    };
    change.record(&unknown).await.unwrap();
    world.control.commit(change).await.unwrap();
    world.create("b").await;
    let mut again = follow(&world, Since::First).await;
    for events in [&mut live, &mut again] {
        let mut told = Vec::new();
        for _ in 0..4 {
            told.extend(next(events).await.unwrap().sequence);
        }
        assert_eq!(told, [1, 2, 4, 5]);
    }
}

#[tokio::test]
async fn events_are_told_to_those_who_may_see_their_vm_then() {
    let (world, mut host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let bob = world.person("bob", Role::Member).await;
    let control = &world.control;
    let mut of_ann = control.events(&ann, None, Since::Now).await.unwrap();
    let mut of_bob = control.events(&bob, None, Since::Now).await.unwrap();
    let mut of_admin = follow(&world, Since::Now).await;
    let hers = control.vm_create(&ann, request("hers")).await.unwrap().asked.id;
    let his = control.vm_create(&bob, request("his")).await.unwrap().asked.id;
    assert_eq!(next(&mut of_ann).await.unwrap().vm, hers);
    assert_eq!(next(&mut of_bob).await.unwrap().vm, his);
    for expected in [hers, hers, his, his] {
        assert_eq!(next(&mut of_admin).await.unwrap().vm, expected);
    }
    world.round(&mut host).await;
    control.vm_delete(&ann, &hers.into()).await.unwrap();
    world.round(&mut host).await;
    let mut words = Vec::new();
    while words.last() != Some(&"deleted") {
        let event = next(&mut of_ann).await.unwrap();
        assert_eq!(event.vm, hers);
        words.push(event.what.as_str());
    }
    assert_eq!(words, ["status", "status", "changed", "status", "deleted"]);
    // What she may not see any more is not in what was, either.
    let mut again = control.events(&ann, None, Since::First).await.unwrap();
    assert_eq!(next(&mut again).await.unwrap().vm, hers);
    let refused = control
        .events(&bob, Some(&hers.into()), Since::First)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.problem.code, model::ProblemCode::NotFound);
}

#[tokio::test]
async fn a_follower_far_behind_is_let_go_and_comes_again() {
    let (world, _host) = World::with_host().await;
    let mut events = follow(&world, Since::Now).await;
    let id = world.create("a").await.asked.id;
    let stop_and_start = async |times: u32| {
        for _ in 0..times {
            world.control.vm_stop(&world.caller, &id.into()).await.unwrap();
            world.control.vm_start(&world.caller, &id.into()).await.unwrap();
        }
    };
    stop_and_start(600).await;
    let feed = &world.control.inner.feed;
    let last = world
        .control
        .inner
        .store
        .read()
        .await
        .unwrap()
        .event_last()
        .await
        .unwrap();
    let handed_out = async {
        while feed.position() < last {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), handed_out)
        .await
        .unwrap();
    let mut told = Vec::new();
    while let Some(event) = next(&mut events).await {
        told.extend(event.sequence);
        if told.len() == 1000 {
            break;
        }
    }
    assert_eq!(next(&mut events).await, None, "it was let go");
    let last = crate::follow::id_of(world.control.installation(), told[told.len() - 1]);
    let mut again = follow(&world, Since::Id(&last)).await;
    assert_eq!(
        next(&mut again).await.unwrap().sequence,
        Some(told[told.len() - 1] + 1)
    );
}

#[tokio::test]
async fn progress_is_told_live_and_never_kept() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    host.take(world.plan(host.id).await);
    let mut events = world
        .control
        .events(&world.caller, Some(&id.into()), Since::Now)
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
        .events(&world.caller, Some(&id.into()), Since::First)
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
        .events(&world.caller, Some(&id.into()), Since::Now)
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
        .events(&world.caller, None, Since::First)
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
