//! A database that was restored from before the last two VMs were made. Nothing may be destroyed.

use std::fs;
use std::path::Path;

use model::{ProblemCode, Status, VmId};

use super::host::FakeHost;
use super::world::World;
use crate::PageRequest;

struct Restored {
    world: World,
    host: FakeHost,
    first: VmId,
    lost: [VmId; 2],
    /// Plan number that the host had accepted when the database was set back.
    number: u64,
}

/// One VM, a backup, two more VMs, then the backup put back.
async fn restored() -> Restored {
    let (world, mut host) = World::with_host().await;
    let first = world.create("first").await.asked.id;
    world.round(&mut host).await;
    let backup = world.directory.path().join("backup.db");
    let world = world.restart(|path| copy(path, &backup)).await;
    let lost = [
        world.create("second").await.asked.id,
        world.create("third").await.asked.id,
    ];
    world.round(&mut host).await;
    // The one that is known changes too, so that its generation here is behind.
    world.control.vm_stop(&world.caller, &first.into()).await.unwrap();
    world.round(&mut host).await;
    world
        .control
        .vm_start(&world.caller, &first.into())
        .await
        .unwrap();
    world.round(&mut host).await;
    let number = world.plan(host.id).await.number;
    let mut world = world.restart(|path| copy(&backup, path)).await;
    // From here another history is written; numbers of the lost one are the host's to remember.
    world.forget_plans();
    Restored {
        world,
        host,
        first,
        lost,
        number,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn what_the_database_forgot_keeps_running_and_is_listed_as_found() {
    let Restored {
        world,
        mut host,
        first,
        lost,
        number,
    } = restored().await;
    let held = host.held.clone();
    // A plan made before the host was heard is older than what the host has.
    host.take(world.plan(host.id).await);
    assert!(host.refusal.is_some());
    world.deliver(&host.report()).await;
    assert!(world.plan(host.id).await.number > number);
    world.round(&mut host).await;
    world.round(&mut host).await;
    assert_eq!(host.refusal, None);
    assert!(host.held.len() == 3 && host.held.iter().all(|(id, vm)| vm.boots == held[id].boots));
    let found = world.found(host.id).await;
    let mut expected = lost;
    expected.sort();
    assert_eq!(found.iter().map(|found| found.vm).collect::<Vec<_>>(), expected);
    let vm = world.get(first).await.unwrap();
    assert_eq!(vm.status, Status::Running);
    assert!(vm.asked.generation > 3, "above the generation that the host had");
}

#[tokio::test]
async fn adopting_restarts_nothing_and_removing_removes_one() {
    let Restored {
        world,
        mut host,
        lost: [second, third],
        ..
    } = restored().await;
    world.deliver(&host.report()).await;
    world.round(&mut host).await;
    let boots = host.held[&second].boots;
    let taken = Some("first".parse().unwrap());
    let taken = world
        .control
        .found_adopt(&world.caller, &host.id.into(), second, taken)
        .await;
    assert_eq!(taken.unwrap_err().problem.code, ProblemCode::NameTaken);
    let adopted = world
        .control
        .found_adopt(&world.caller, &host.id.into(), second, None)
        .await
        .unwrap();
    assert_eq!(
        (adopted.status, adopted.asked.body.name.as_str()),
        (Status::Running, "second")
    );
    let removed = world
        .control
        .found_remove(&world.caller, &host.id.into(), third)
        .await
        .unwrap();
    assert_eq!(removed.status, Status::Deleting);
    assert!(world.found(host.id).await.is_empty());
    let twice = world
        .control
        .found_adopt(&world.caller, &host.id.into(), second, None)
        .await;
    assert_eq!(twice.unwrap_err().problem.code, ProblemCode::NotFound);
    world.round(&mut host).await;
    assert_eq!(host.held[&second].boots, boots);
    assert!(!host.held.contains_key(&third));
    assert_eq!(world.get(third).await, None);
    let vm = world.get(second).await.unwrap();
    assert_eq!(
        (vm.status, vm.seen.unwrap().accepted),
        (Status::Running, vm.asked.generation)
    );
    // And it obeys from now on.
    world
        .control
        .vm_stop(&world.caller, &second.into())
        .await
        .unwrap();
    world.round(&mut host).await;
    assert_eq!(world.get(second).await.unwrap().status, Status::Stopped);
}

#[tokio::test]
async fn one_whose_wish_is_damaged_cannot_be_adopted_but_removed() {
    let Restored {
        world,
        mut host,
        lost: [second, _],
        ..
    } = restored().await;
    world.deliver(&host.report()).await;
    host.take(world.plan(host.id).await);
    let mut report = host.report();
    for vm in &mut report.vms {
        vm.body = None;
    }
    world.deliver(&report).await;
    let refused = world
        .control
        .found_adopt(&world.caller, &host.id.into(), second, None)
        .await;
    assert_eq!(refused.unwrap_err().problem.code, ProblemCode::WrongStatus);
    world
        .control
        .found_remove(&world.caller, &host.id.into(), second)
        .await
        .unwrap();
    world.round(&mut host).await;
    assert!(!host.held.contains_key(&second));
    assert_eq!(world.get(second).await, None);
}

#[tokio::test]
async fn what_is_no_longer_found_is_no_longer_listed() {
    let Restored {
        world,
        mut host,
        lost: [second, _],
        ..
    } = restored().await;
    world.deliver(&host.report()).await;
    world.round(&mut host).await;
    host.held.remove(&second);
    world.deliver(&host.report()).await;
    let found = world.found(host.id).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_host_is_told_nothing_before_it_was_heard() {
    let Restored { world, mut host, .. } = restored().await;
    let mut plans = world.control.inner.bus.plans(host.id);
    world.control.plan_publish(host.id).await.unwrap();
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(50), plans.next()).await;
    assert!(nothing.is_err());
    world.deliver(&host.report()).await;
    world.control.plan_publish(host.id).await.unwrap();
    assert!(plans.next().await.is_ok());
}

#[tokio::test]
async fn hosts_and_what_they_hold_are_listed_a_page_at_a_time() {
    let Restored {
        world,
        mut host,
        lost,
        ..
    } = restored().await;
    world.deliver(&host.report()).await;
    world.round(&mut host).await;
    world.round(&mut host).await;
    for byte in [2, 3] {
        world.deliver(&FakeHost::new(byte).report()).await;
    }
    let (id, mut hosts, mut found) = (host.id.into(), Vec::new(), Vec::new());
    let mut page = PageRequest {
        limit: Some(2),
        cursor: None,
    };
    for _ in 0..2 {
        let next = world.control.host_list(&world.caller, &page).await.unwrap();
        hosts.extend(next.items.into_iter().map(|host| host.id));
        page.cursor = next.next;
    }
    assert_eq!((hosts.len(), page.cursor.take()), (3, None));
    hosts.dedup();
    assert_eq!(hosts.len(), 3, "each once");

    page.limit = Some(1);
    for _ in &lost {
        let next = world.control.host_found(&world.caller, &id, &page).await.unwrap();
        found.extend(next.items.into_iter().map(|found| found.vm));
        page.cursor = next.next;
    }
    let mut expected = lost;
    expected.sort();
    assert_eq!((found, page.cursor), (expected.to_vec(), None));
}
