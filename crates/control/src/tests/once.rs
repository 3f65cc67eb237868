//! Requests that are to be done once.

use std::time::Duration;

use model::{Digest, ProblemCode, Right, Role};

use super::world::{World, request};
use crate::{Caller, Once, OnceRequest, Operation, VmView};

const ANSWER: &str = "the answer";

fn keyed(caller: &Caller, key: &str, path: &str, body: u8) -> Caller {
    let once = Once::new(OnceRequest {
        method: "POST".to_owned(),
        path: path.to_owned(),
        key: key.to_owned(),
        body: Digest::from_sha256([body; 32]),
    });
    let mut caller = caller.clone();
    caller.origin.once = Some(once.unwrap());
    caller
}

impl World {
    /// What a server does with a request: the answer of an earlier one, or the change with its answer.
    async fn create_once(&self, caller: &Caller, name: &str) -> Result<Result<VmView, String>, ProblemCode> {
        let code = |error: crate::Error| error.problem.code;
        if let Some(answer) = self
            .control
            .answer_find(caller, Operation::VmCreate)
            .await
            .map_err(code)?
        {
            return Ok(Err(answer));
        }
        let made = self.control.vm_create(caller, request(name)).await;
        if let Some(answer) = caller.origin.once.as_ref().and_then(Once::answered) {
            return Ok(Err(answer));
        }
        let vm = made.map_err(code)?;
        self.control
            .answer_keep(caller, Operation::VmCreate, ANSWER.to_owned())
            .await
            .map_err(code)?;
        Ok(Ok(vm))
    }
}

#[tokio::test]
async fn a_change_lasts_with_its_answer_or_never_was() {
    let (world, _host) = World::with_host().await;
    let caller = keyed(&world.caller, "k", "/v1/vms", 1);
    world.control.vm_create(&caller, request("web")).await.unwrap();
    caller.origin.once.as_ref().unwrap().drop_held();
    drop(caller);
    assert_eq!(world.list().await, [], "its answer was never made");
    let again = keyed(&world.caller, "k", "/v1/vms", 1);
    let vm = world.create_once(&again, "web").await.unwrap().unwrap();
    assert_eq!(world.list().await.len(), 1);
    // The process may die here: the next one answers the same.
    let world = world.restart(|_| ()).await;
    let retried = keyed(&world.caller, "k", "/v1/vms", 1);
    assert_eq!(
        world.create_once(&retried, "web").await,
        Ok(Err(ANSWER.to_owned()))
    );
    assert_eq!(world.list().await, [vm]);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_user_for_a_day() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let create = async |caller: &Caller, path: &str, body: u8, name: &str| {
        world.create_once(&keyed(caller, "k", path, body), name).await
    };
    let made = |result: Result<Result<VmView, String>, ProblemCode>| result.map(|made| made.is_ok());
    assert_eq!(made(create(&world.caller, "/v1/vms", 1, "a").await), Ok(true));
    assert_eq!(made(create(&world.caller, "/v1/vms", 1, "a").await), Ok(false));
    assert_eq!(
        made(create(&world.caller, "/v1/vms", 2, "b").await),
        Err(ProblemCode::IdempotencyMismatch)
    );
    assert_eq!(made(create(&world.caller, "/v1/other", 2, "b").await), Ok(true));
    assert_eq!(made(create(&ann, "/v1/vms", 2, "c").await), Ok(true));
    world.pass(Duration::from_hours(24));
    assert_eq!(made(create(&world.caller, "/v1/vms", 2, "d").await), Ok(true));
}

#[tokio::test]
async fn what_is_refused_is_not_kept() {
    let (world, _host) = World::with_host().await;
    world.create("web").await;
    let create = async || {
        world
            .create_once(&keyed(&world.caller, "k", "/v1/vms", 1), "web")
            .await
    };
    assert_eq!(create().await, Err(ProblemCode::NameTaken));
    let there = world.list().await.remove(0);
    world
        .control
        .vm_delete(&world.caller, &there.asked.id.into())
        .await
        .unwrap();
    assert!(create().await.unwrap().is_ok(), "the same request is good now");
}

/// Ten at once: one does it, the others wait for it and get its answer.
#[tokio::test]
async fn twins_get_one_answer() {
    let (world, _host) = World::with_host().await;
    let all = (0..10).map(|_| async {
        let caller = keyed(&world.caller, "k", "/v1/vms", 1);
        world.create_once(&caller, "web").await.unwrap().is_ok()
    });
    let made = futures_util::future::join_all(all).await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(world.list().await.len(), 1);
}

#[tokio::test]
async fn rights_are_asked_again() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (
        world.person("ann", Role::Member).await,
        world.person("bob", Role::Member).await,
    );
    let vm = world
        .control
        .vm_create(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id;
    let share = async |right: Option<Right>| {
        let mut change = world.control.change().await.unwrap();
        let now = change.now;
        match right {
            Some(right) => change.share_put(vm, bob.user.into(), right, now).await.unwrap(),
            None => change.share_delete(vm, bob.user.into()).await.unwrap(),
        }
        world.control.commit(change).await.unwrap();
    };
    let path = format!("/v1/vms/{vm}/stop");
    share(Some(Right::Manage)).await;
    let first = keyed(&bob, "k", &path, 1);
    world.control.vm_stop(&first, &vm.into()).await.unwrap();
    world
        .control
        .answer_keep(&first, Operation::VmStop, ANSWER.to_owned())
        .await
        .unwrap();
    let again = async || {
        let found = world
            .control
            .answer_find(&keyed(&bob, "k", &path, 1), Operation::VmStop)
            .await;
        found.map_err(|error| error.problem.code)
    };
    assert_eq!(again().await, Ok(Some(ANSWER.to_owned())));
    share(Some(Right::Use)).await;
    assert_eq!(again().await, Err(ProblemCode::Forbidden));
    share(None).await;
    assert_eq!(again().await, Err(ProblemCode::NotFound));
}

/// A request that changed nothing is answered the same later, too, and does nothing then.
#[tokio::test]
async fn what_changed_nothing_is_kept_as_well() {
    let (world, _host) = World::with_host().await;
    let vm = world.create("web").await.asked.id;
    let path = format!("/v1/vms/{vm}/start");
    let first = keyed(&world.caller, "k", &path, 1);
    world.control.vm_start(&first, &vm.into()).await.unwrap();
    world
        .control
        .answer_keep(&first, Operation::VmStart, ANSWER.to_owned())
        .await
        .unwrap();
    world.control.vm_stop(&world.caller, &vm.into()).await.unwrap();
    let again = keyed(&world.caller, "k", &path, 1);
    let found = world
        .control
        .answer_find(&again, Operation::VmStart)
        .await
        .unwrap();
    assert_eq!(found.as_deref(), Some(ANSWER));
}

#[test]
fn keys_have_a_form() {
    let once = |key: String| {
        Once::new(OnceRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            key,
            body: Digest::from_sha256([0; 32]),
        })
    };
    for good in ["k".to_owned(), "k".repeat(128), "~!{}".to_owned()] {
        assert!(once(good).is_ok());
    }
    for bad in [String::new(), "k".repeat(129), "a b".to_owned(), "ä".to_owned()] {
        assert!(once(bad).is_err());
    }
}
