//! The everyday path.

use model::{Phase, Power, ProblemCode, ReasonCode, Status, VmId};

use super::world::{KEY, World, request};
use crate::{ChangeVm, Error, VmSelector, VmView};

#[tokio::test]
async fn a_vm_is_created_planned_reported_and_runs() {
    let (world, mut host) = World::with_host().await;
    let created = world.create("web").await;
    assert_eq!(created.status, Status::Init);
    assert_eq!(created.host_name.as_str(), "box");
    assert_eq!(created.ssh(), None);
    world.round(&mut host).await;
    let vm = world.get(created.asked.id).await.unwrap();
    assert_eq!(vm.status, Status::Running);
    assert_eq!(vm.login(), Some("fred"));
    let line = vm.ssh().unwrap();
    assert!(
        line.starts_with("ssh -p 2222 ") && line.ends_with(" fred@172.30.0.3"),
        "{line}"
    );
    let by_name = VmSelector::Name("web".parse().unwrap());
    assert_eq!(world.control.vm_get(&world.caller, &by_name).await.unwrap(), vm);
    assert_eq!(world.list().await, [vm]);
}

#[tokio::test]
async fn stop_and_start_are_wishes_and_another_boot() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let unchanged = start(&world, id).await;
    assert_eq!((unchanged.asked.generation, unchanged.asked.body.boot), (1, 1));
    let stopping = world.control.vm_stop(&world.caller, &id.into()).await.unwrap();
    assert_eq!(
        (stopping.status, stopping.asked.generation),
        (Status::Stopping, 2)
    );
    let again = world.control.vm_stop(&world.caller, &id.into()).await.unwrap();
    assert_eq!(again.asked.generation, 2);
    world.round(&mut host).await;
    assert_eq!(world.get(id).await.unwrap().status, Status::Stopped);
    let starting = start(&world, id).await;
    assert_eq!((starting.status, starting.asked.body.boot), (Status::Init, 2));
    assert_eq!(start(&world, id).await.asked.body.boot, 2, "already on its way");
    world.round(&mut host).await;
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    assert_eq!(host.held[&id].boots, 2);
}

async fn change_keys(world: &World, id: VmId, keys: &[&str]) -> Result<VmView, Error> {
    let keys = keys.iter().map(|line| line.parse().unwrap()).collect();
    let wish = ChangeVm {
        keys: Some(keys),
        ..ChangeVm::default()
    };
    world.control.vm_change(&world.caller, &id.into(), wish).await
}

#[tokio::test]
async fn keys_are_changed_while_the_vm_runs_and_it_is_not_booted_for_it() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let other = KEY.replace("somebody", "another");
    let changed = change_keys(&world, id, &[KEY, &other]).await.unwrap();
    assert_eq!((changed.status, changed.asked.generation), (Status::Running, 2));
    let again = change_keys(&world, id, &[KEY, &other]).await.unwrap();
    assert_eq!(again.asked.generation, 2, "they were so already");
    let nothing = world
        .control
        .vm_change(&world.caller, &id.into(), ChangeVm::default())
        .await
        .unwrap();
    assert_eq!(nothing.asked, changed.asked);
    world.round(&mut host).await;
    let held = &host.held[&id];
    assert_eq!((held.accepted, held.boots), (2, 1));
    assert_eq!(held.body.authorized_keys, changed.asked.body.authorized_keys);
    assert_eq!(held.body.authorized_keys[1].as_str(), other);
}

#[tokio::test]
async fn keys_are_judged_at_a_change_and_the_last_may_go() {
    let (world, _host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    let refused = change_keys(&world, id, &[KEY; 65]).await.unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::InvalidValue);
    assert_eq!(refused.problem.pointer.as_deref(), Some("/keys"));
    assert_eq!(world.get(id).await.unwrap().asked.generation, 1);
    let without = change_keys(&world, id, &[]).await.unwrap();
    assert_eq!(without.asked.body.authorized_keys, []);
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    let refused = change_keys(&world, id, &[KEY]).await.unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::WrongStatus);
}

#[tokio::test]
async fn a_start_mends_a_dead_vmm_and_a_guest_that_powered_off() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    for (phase, status) in [(Phase::Failed, Status::Error), (Phase::Stopped, Status::Stopped)] {
        host.held.get_mut(&id).unwrap().phase = phase;
        world.round(&mut host).await;
        assert_eq!(world.get(id).await.unwrap().status, status);
        let boot = host.held[&id].boot;
        assert_eq!(start(&world, id).await.asked.body.boot, boot + 1);
        world.round(&mut host).await;
        assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    }
}

#[tokio::test]
async fn a_guest_that_powered_off_is_asked_to_be_off_once() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    host.power_off(id);
    for _ in 0..2 {
        world.deliver(&host.report()).await;
        let off = world.get(id).await.unwrap();
        let asked = (off.asked.body.power, off.asked.generation, off.asked.body.boot);
        assert_eq!((off.status, asked), (Status::Stopped, (Power::Off, 2, 1)));
    }
    world.round(&mut host).await;
    assert_eq!(host.held[&id].body.power, Power::Off, "the host is told");
    assert_eq!(world.get(id).await.unwrap().asked.generation, 2);
    // The host has not heard of the start when it tells once more of the end before it.
    start(&world, id).await;
    world.deliver(&host.report()).await;
    let started = world.get(id).await.unwrap();
    assert_eq!(
        (started.status, started.asked.body.power),
        (Status::Init, Power::On)
    );
    world.round(&mut host).await;
    assert_eq!(world.get(id).await.unwrap().status, Status::Running);
    assert_eq!(host.held[&id].boots, 2);
}

#[tokio::test]
async fn delete_frees_the_name_at_once_and_the_row_when_the_host_says_gone() {
    let (world, mut host) = World::with_host().await;
    let old = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let taken = world
        .control
        .vm_create(&world.caller, request("web"))
        .await
        .unwrap_err();
    assert_eq!(taken.problem.code, ProblemCode::NameTaken);
    for _ in 0..2 {
        let deleted = world.control.vm_delete(&world.caller, &old.into()).await.unwrap();
        assert_eq!((deleted.status, deleted.asked.generation), (Status::Deleting, 2));
    }
    let by_name = VmSelector::Name("web".parse().unwrap());
    let found = world.control.vm_get(&world.caller, &by_name).await.unwrap();
    assert_eq!(
        found.asked.id, old,
        "a name means the one on its way out until another has it"
    );
    let new = world.create("web").await.asked.id;
    let found = world.control.vm_get(&world.caller, &by_name).await.unwrap();
    assert_eq!(found.asked.id, new);
    let refused = world
        .control
        .vm_start(&world.caller, &old.into())
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::WrongStatus);
    world.round(&mut host).await;
    assert_eq!(world.get(old).await, None);
    assert_eq!(world.get(new).await.unwrap().status, Status::Running);
    assert_eq!(host.held.keys().collect::<Vec<_>>(), [&new]);
    let missing = world
        .control
        .vm_delete(&world.caller, &old.into())
        .await
        .unwrap_err();
    assert_eq!(missing.problem.code, ProblemCode::NotFound);
}

#[tokio::test]
async fn delete_is_accepted_before_the_host_ever_heard_of_the_vm() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    world.round(&mut host).await;
    assert_eq!(world.get(id).await, None);
}

#[tokio::test]
async fn a_vm_that_its_host_removed_unasked_is_an_error_and_only_rm_helps() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    host.held.remove(&id);
    host.removed.insert(id, 1);
    world.round(&mut host).await;
    let vm = world.get(id).await.unwrap();
    assert_eq!(vm.status, Status::Error);
    assert_eq!(vm.reason.unwrap().code, ReasonCode::PlacementRemoved);
    let refused = world
        .control
        .vm_start(&world.caller, &id.into())
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::WrongStatus);
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    world.round(&mut host).await;
    assert_eq!(world.get(id).await, None);
}

#[tokio::test]
async fn everything_is_kept_over_a_restart() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let (before, number) = (world.get(id).await, world.plan(host.id).await.number);
    let installation = world.control.installation();
    let world = world.restart(|_| ()).await;
    assert_eq!(world.get(id).await, before);
    assert_eq!(
        world.plan(host.id).await.number,
        number,
        "equal content keeps its number"
    );
    assert_eq!(world.control.installation(), installation);
}

async fn start(world: &World, id: VmId) -> crate::VmView {
    world.control.vm_start(&world.caller, &id.into()).await.unwrap()
}
