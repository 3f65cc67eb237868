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

/// By being done it takes away the very right that it needed.
#[tokio::test]
async fn a_transfer_is_answered_again_to_whoever_gave_it_away() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (
        world.person("ann", Role::Member).await,
        world.person("bob", Role::Member).await,
    );
    let vm = world.control.vm_create(&ann, request("web")).await.unwrap();
    let vm = vm.asked.id;
    let path = format!("/v1/vms/{vm}/transfer");
    let first = keyed(&ann, "k", &path, 1);
    let to = crate::PrincipalSelector::Id(bob.user.into());
    world.control.vm_transfer(&first, &vm.into(), &to).await.unwrap();
    keep(&world, &first, Operation::VmTransfer).await;
    assert_eq!(
        found(&world, &keyed(&ann, "k", &path, 1), Operation::VmTransfer).await,
        Ok(Some(ANSWER.to_owned()))
    );
}

async fn keep(world: &World, caller: &Caller, operation: Operation) {
    let kept = world
        .control
        .answer_keep(caller, operation, ANSWER.to_owned())
        .await;
    kept.unwrap();
}

async fn found(world: &World, caller: &Caller, operation: Operation) -> Result<Option<String>, ProblemCode> {
    let found = world.control.answer_find(caller, operation).await;
    found.map_err(|error| error.problem.code)
}

/// What was made for a team is told again to those who may still make something for it.
#[tokio::test]
async fn a_create_is_not_answered_again_to_one_who_left_the_team() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let name: model::PrincipalName = "crew".parse().unwrap();
    let team = crate::PrincipalSelector::Name(name.clone());
    world.control.team_create(&world.caller, name).await.unwrap();
    let member = crate::PrincipalSelector::Id(ann.user.into());
    let role = model::TeamRole::Member;
    world
        .control
        .member_put(&world.caller, &team, &member, role)
        .await
        .unwrap();
    let first = keyed(&ann, "k", "/v1/vms", 1);
    let wish = crate::CreateVm {
        owner: Some(team.clone()),
        ..request("web")
    };
    world.control.vm_create(&first, wish).await.unwrap();
    keep(&world, &first, Operation::VmCreate).await;
    let again = async || found(&world, &keyed(&ann, "k", "/v1/vms", 1), Operation::VmCreate).await;
    assert_eq!(again().await, Ok(Some(ANSWER.to_owned())));
    world
        .control
        .member_delete(&world.caller, &team, &member)
        .await
        .unwrap();
    assert!(again().await.is_err());
}

/// Its key would be kept with the last of them only.
#[tokio::test]
async fn one_request_makes_one_change() {
    let (world, _host) = World::with_host().await;
    let caller = keyed(&world.caller, "k", "/v1/vms", 1);
    world.control.vm_create(&caller, request("a")).await.unwrap();
    let second = world.control.vm_create(&caller, request("b")).await.unwrap_err();
    assert!(second.is_fault(), "{second:?}");
    caller.origin.once.as_ref().unwrap().drop_held();
    assert_eq!(world.list().await, []);
}

/// The reconciler forgets them, also where no others come.
#[tokio::test]
async fn answers_are_forgotten_after_their_time() {
    let (world, _host) = World::with_host().await;
    let minute = Duration::from_secs(60);
    let kept = crate::Retention {
        answers: minute,
        ..crate::Retention::default()
    };
    let world = world.with_retention(kept).await;
    let of_user = async || {
        let mut read = world.control.inner.store.read().await.unwrap();
        read.answer_users_beyond(0, 0).await.unwrap()
    };
    let caller = keyed(&world.caller, "k", "/v1/vms", 1);
    assert!(world.create_once(&caller, "a").await.unwrap().is_ok());
    world.pass(minute - Duration::from_secs(1));
    world.control.retention_look().await.unwrap();
    assert_eq!(of_user().await, [world.caller.user]);
    world.pass(Duration::from_secs(1));
    world.control.retention_look().await.unwrap();
    assert_eq!(of_user().await, []);
}

#[tokio::test]
async fn the_oldest_answers_of_one_user_go_first() {
    let (world, _host) = World::with_host().await;
    for key in ["a", "b", "c"] {
        let caller = keyed(&world.caller, key, "/v1/vms", 1);
        assert!(world.create_once(&caller, key).await.unwrap().is_ok());
        world.pass(Duration::from_secs(1));
    }
    let user = world.caller.user;
    let store = &world.control.inner.store;
    let mut read = store.read().await.unwrap();
    assert_eq!(read.answer_users_beyond(3, 1 << 20).await.unwrap(), []);
    assert_eq!(read.answer_users_beyond(2, 1 << 20).await.unwrap(), [user]);
    let bytes = u64::try_from(3 * ANSWER.len()).unwrap();
    assert_eq!(read.answer_users_beyond(3, bytes).await.unwrap(), []);
    assert_eq!(read.answer_users_beyond(3, bytes - 1).await.unwrap(), [user]);
    drop(read);
    let mut write = store.write().await.unwrap();
    write.answer_prune_of_user(user, 2).await.unwrap();
    write.commit().await.unwrap();
    for (key, expected) in [("a", None), ("b", None), ("c", Some(ANSWER.to_owned()))] {
        let again = keyed(&world.caller, key, "/v1/vms", 1);
        assert_eq!(
            found(&world, &again, Operation::VmCreate).await,
            Ok(expected),
            "{key}"
        );
    }
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
