//! Times to live, graces, leases and idleness, with a clock that stands still.

use std::time::Duration;

use model::{Idle, Phase, Power, ProblemCode, Status, VmId};

use super::host::FakeHost;
use super::world::{World, request};
use crate::{CreateVm, Ending, EventKind, LifeWish, VmView};

const HOUR: u64 = 60 * 60;

async fn with(life: LifeWish) -> (World, FakeHost, VmId) {
    let (world, mut host) = World::with_host().await;
    let wish = CreateVm {
        life,
        ..request("web")
    };
    let vm = world
        .control
        .vm_create(&world.caller, wish)
        .await
        .unwrap()
        .asked
        .id;
    world.round(&mut host).await;
    (world, host, vm)
}

async fn after(world: &World, seconds: u64) {
    world.pass(Duration::from_secs(seconds));
    world.control.lives_look().await.unwrap();
}

async fn endings(world: &World, vm: VmId) -> Vec<(Ending, u64)> {
    let last = world.control.inner.store.read().await.unwrap();
    let mut read = last;
    let rows = read.event_list(0, Some(vm), 500).await.unwrap();
    let kinds = rows.iter().map(|row| serde_json::from_str(&row.data).unwrap());
    kinds
        .filter_map(|kind| match kind {
            EventKind::Ending { ending, seconds } => Some((ending, seconds)),
            EventKind::Created { .. }
            | EventKind::Adopted { .. }
            | EventKind::Changed
            | EventKind::Status { .. }
            | EventKind::Deleted
            | EventKind::Progress { .. } => None,
        })
        .collect()
}

async fn vm(world: &World, id: VmId) -> VmView {
    world.get(id).await.unwrap()
}

#[tokio::test]
async fn one_that_has_lived_long_enough_is_warned_stopped_kept_and_removed() {
    let life = LifeWish {
        ttl: Some(2 * HOUR),
        grace: Some(HOUR),
        ..LifeWish::default()
    };
    let (world, mut host, id) = with(life).await;
    after(&world, 2 * HOUR - 601).await;
    assert_eq!(endings(&world, id).await, []);
    after(&world, 1).await;
    after(&world, 1).await;
    assert_eq!(endings(&world, id).await, [(Ending::TimeToLive, 600)], "once");
    assert_eq!(vm(&world, id).await.asked.body.power, Power::On);
    after(&world, 600).await;
    assert_eq!(vm(&world, id).await.asked.body.power, Power::Off);
    // Nobody has seen it off yet, however long that takes.
    after(&world, 100 * HOUR).await;
    assert_eq!(vm(&world, id).await.removed_at(), None);
    world.round(&mut host).await;
    after(&world, 1).await;
    assert!(vm(&world, id).await.removed_at().is_some());
    after(&world, HOUR - 1).await;
    assert_eq!(vm(&world, id).await.status, Status::Stopped);
    after(&world, 1).await;
    assert_eq!(vm(&world, id).await.status, Status::Deleting);
    world.round(&mut host).await;
    assert_eq!(world.get(id).await, None);
}

#[tokio::test]
async fn a_short_life_is_warned_of_a_tenth_before_its_end() {
    let (world, _host, id) = with(LifeWish {
        ttl: Some(100),
        ..LifeWish::default()
    })
    .await;
    after(&world, 89).await;
    assert_eq!(endings(&world, id).await, []);
    after(&world, 1).await;
    assert_eq!(endings(&world, id).await, [(Ending::TimeToLive, 10)]);
}

#[tokio::test]
async fn an_outage_removes_nothing_early() {
    let life = LifeWish {
        ttl: Some(HOUR),
        grace: Some(HOUR),
        ..LifeWish::default()
    };
    let (world, mut host, id) = with(life).await;
    // Control is away while it expires, and its grace would be over.
    world.pass(Duration::from_secs(10 * HOUR));
    let world = world.restart(|_| {}).await;
    world.deliver(&host.report()).await;
    after(&world, 0).await;
    assert_eq!(vm(&world, id).await.asked.body.power, Power::Off);
    world.round(&mut host).await;
    after(&world, 0).await;
    after(&world, HOUR - 1).await;
    assert_eq!(vm(&world, id).await.status, Status::Stopped);
}

#[tokio::test]
async fn more_time_takes_back_that_it_goes_and_a_start_gives_it_again() {
    let life = LifeWish {
        ttl: Some(HOUR),
        grace: Some(HOUR),
        ..LifeWish::default()
    };
    let (world, mut host, id) = with(life).await;
    let extended = world
        .control
        .vm_extend(&world.caller, &id.into(), HOUR)
        .await
        .unwrap();
    let left = extended
        .life
        .expires_at
        .unwrap()
        .duration_since(world.control.now());
    assert_eq!(left.as_secs(), 2 * 60 * 60);
    for _ in 0..3 {
        after(&world, 2 * HOUR).await;
        world.round(&mut host).await;
        after(&world, 0).await;
        assert!(vm(&world, id).await.removed_at().is_some());
        let extended = world
            .control
            .vm_extend(&world.caller, &id.into(), 60)
            .await
            .unwrap();
        assert_eq!(
            (extended.removed_at(), extended.asked.body.power),
            (None, Power::Off)
        );
        after(&world, 120).await;
        let started = world.control.vm_start(&world.caller, &id.into()).await.unwrap();
        let left = started
            .life
            .expires_at
            .unwrap()
            .duration_since(world.control.now());
        assert_eq!((left.as_secs(), started.removed_at()), (60 * 60, None));
        world.round(&mut host).await;
        assert_eq!(vm(&world, id).await.status, Status::Running);
    }
    let refused = world
        .control
        .vm_extend(&world.caller, &id.into(), 0)
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::InvalidValue);
}

/// Who may manage a VM may not remove it, not by giving it an end either.
#[tokio::test]
async fn one_without_an_end_is_not_given_one() {
    let (world, _host, id) = with(LifeWish::default()).await;
    let refused = world.control.vm_extend(&world.caller, &id.into(), 1).await;
    let refused = refused.unwrap_err().problem;
    assert_eq!(refused.code, ProblemCode::WrongStatus);
    assert!(refused.hint.is_some_and(|hint| hint.contains("--ttl")));
    assert_eq!(vm(&world, id).await.life.expires_at, None);
}

#[tokio::test]
async fn a_leased_one_goes_when_its_client_is_away() {
    let (world, host, id) = with(LifeWish {
        lease: Some(60),
        ..LifeWish::default()
    })
    .await;
    for _ in 0..5 {
        after(&world, 50).await;
        world.control.vm_lease(&world.caller, &id.into()).await.unwrap();
    }
    after(&world, 59).await;
    assert_ne!(vm(&world, id).await.status, Status::Deleting);
    // While control was away nobody could give a sign.
    world.pass(Duration::from_secs(HOUR));
    let world = world.restart(|_| {}).await;
    let mut host = host;
    world.deliver(&host.report()).await;
    after(&world, 59).await;
    assert_ne!(vm(&world, id).await.status, Status::Deleting);
    after(&world, 1).await;
    assert_eq!(vm(&world, id).await.status, Status::Deleting);
}

#[tokio::test]
async fn an_idle_one_is_warned_of_and_asked_to_be_off_once() {
    let (world, mut host, id) = with(LifeWish {
        idle_after: Some(HOUR),
        ..LifeWish::default()
    })
    .await;
    for idle in [Idle::Soon, Idle::Soon, Idle::Active] {
        host.held.get_mut(&id).unwrap().idle = idle;
        world.deliver(&host.report()).await;
    }
    assert_eq!(endings(&world, id).await, [(Ending::Idle, 360)]);
    assert_eq!(vm(&world, id).await.asked.body.power, Power::On);
    host.held.get_mut(&id).unwrap().idle = Idle::Idle;
    world.deliver(&host.report()).await;
    assert_eq!(vm(&world, id).await.asked.body.power, Power::Off);
    world.round(&mut host).await;
    world.control.vm_start(&world.caller, &id.into()).await.unwrap();
    // The report of the boot before is late.
    host.held.get_mut(&id).unwrap().phase = Phase::Stopped;
    world.deliver(&host.report()).await;
    assert_eq!(vm(&world, id).await.asked.body.power, Power::On);
}
