//! Waiting for a status: who may, until when, and what is told where it cannot come about.

use std::time::Duration;

use model::{Problem, ProblemCode, Role, Status, VmId};

use super::world::{World, request};
use crate::{Caller, WaitFor, Waited};

async fn wait(world: &World, caller: &Caller, id: VmId, wanted: WaitFor) -> Result<Waited, Problem> {
    let limit = Duration::from_secs(20);
    let waited = world
        .control
        .vm_wait(caller, &id.into(), (wanted, None), limit)
        .await;
    waited.map_err(|error| error.problem)
}

#[tokio::test]
async fn one_that_is_gone_is_known_to_those_who_could_see_it() {
    let (world, mut host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let bob = world.person("bob", Role::Member).await;
    let id = world
        .control
        .vm_create(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id;
    world.round(&mut host).await;
    world.control.vm_delete(&ann, &id.into()).await.unwrap();
    world.round(&mut host).await;
    let gone = Waited {
        reached: true,
        vm: None,
    };
    for caller in [&ann, &world.caller] {
        assert_eq!(wait(&world, caller, id, WaitFor::Deleted).await, Ok(gone.clone()));
        let running = wait(&world, caller, id, WaitFor::Status(Status::Running)).await;
        assert_eq!(running.unwrap_err().code, ProblemCode::NotFound);
    }
    let his = wait(&world, &bob, id, WaitFor::Deleted).await.unwrap_err();
    let nobodys = VmId::from_random([9; 16]);
    let never_was = wait(&world, &bob, nobodys, WaitFor::Deleted).await.unwrap_err();
    assert_eq!(his.code, ProblemCode::NotFound);
    assert_eq!(
        his.detail.replace(&id.to_string(), "it"),
        never_was.detail.replace(&nobodys.to_string(), "it")
    );
}

#[tokio::test]
async fn a_wait_ends_with_the_token_it_was_asked_with() {
    let (world, mut host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let id = world
        .control
        .vm_create(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id;
    world.round(&mut host).await;
    let waiting = wait(&world, &ann, id, WaitFor::Deleted);
    let out = async {
        tokio::task::yield_now().await;
        world.control.logout(&ann).await.unwrap();
    };
    let ((), ended) = tokio::join!(out, waiting);
    assert_eq!(ended.unwrap_err().code, ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn what_cannot_come_about_is_told_with_the_reason() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    host.take(world.plan(host.id).await);
    let mut report = host.report();
    report.vms[0].seen.phase = model::Phase::Failed;
    report.vms[0].seen.settled = 1;
    let reason = model::Reason::lasting(
        model::ReasonCode::ImageNotFound,
        "no such image",
        "check its name",
    );
    report.vms[0].seen.reason = Some(reason);
    world.deliver(&report).await;
    let refused = wait(&world, &world.caller, id, WaitFor::Status(Status::Running)).await;
    let problem = refused.unwrap_err();
    assert_eq!(problem.code, ProblemCode::WaitImpossible);
    assert_eq!(problem.detail, "web.admin is in ERROR: no such image");
    assert_eq!(problem.hint.as_deref(), Some("check its name"));
}
