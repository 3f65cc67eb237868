//! The audit: who, with what, what, and how it went.

use futures_util::FutureExt;
use model::{ProblemCode, Role};
use store::AuditFilter;

use super::world::{World, request};
use crate::{AuditEntry, Operation, PageRequest, Retention};

async fn entries(world: &World, filter: AuditFilter) -> Vec<AuditEntry> {
    let all = PageRequest {
        limit: Some(500),
        cursor: None,
    };
    world
        .control
        .audit_list(&world.caller, filter, &all)
        .await
        .unwrap()
        .items
}

async fn of(world: &World, operation: Operation) -> Vec<AuditEntry> {
    let filter = AuditFilter {
        operation: Some(operation.as_str().to_owned()),
        ..AuditFilter::default()
    };
    entries(world, filter).await
}

#[tokio::test]
async fn a_change_leaves_one_entry_of_who_what_and_how() {
    let (world, _host) = World::with_host().await;
    let mut ann = world.person("ann", Role::Member).await;
    ann.origin.address = Some([192, 0, 2, 7].into());
    ann.origin.request = Some("abc".parse().unwrap());
    let id = world
        .control
        .vm_create(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id;
    let [created] = &of(&world, Operation::VmCreate).await[..] else {
        panic!("one entry")
    };
    assert_eq!((created.user, created.token), (Some(ann.user), Some(ann.token)));
    assert_eq!(created.user_name.as_ref().unwrap().as_str(), "ann");
    assert_eq!(created.address, ann.origin.address);
    assert_eq!(created.request, ann.origin.request);
    assert_eq!(
        (created.target.clone(), created.outcome.as_str()),
        (Some(id.to_string()), "ok")
    );
    for _ in 0..2 {
        world.control.vm_stop(&ann, &id.into()).await.unwrap();
    }
    assert_eq!(
        of(&world, Operation::VmStop).await.len(),
        1,
        "the second changed nothing"
    );
    let refused = world.control.vm_create(&ann, request("web")).await.unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::NameTaken);
    assert_eq!(
        of(&world, Operation::VmCreate).await.len(),
        1,
        "what did not happen is no change"
    );
}

#[tokio::test]
async fn refusals_are_written_outside_of_their_requests() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let code = ProblemCode::AdminOnly;
    world
        .control
        .audit_refused(ann.actor(), Operation::HostList, Some("box".to_owned()), code);
    let [refused] = &of(&world, Operation::HostList).await[..] else {
        panic!("one entry")
    };
    assert_eq!(
        (refused.user, refused.outcome.as_str()),
        (Some(ann.user), "admin_only")
    );
    assert_eq!(refused.target.as_deref(), Some("box"));
}

/// A client that hangs up while its request writes what waited makes nothing undone.
#[tokio::test]
async fn what_waits_outlives_the_request_that_writes_it() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let control = &world.control;
    control.audit_refused(ann.actor(), Operation::HostList, None, ProblemCode::AdminOnly);
    let held = control.inner.store.write().await.unwrap();
    let page = PageRequest::default();
    let listed = Box::pin(control.audit_list(&ann, AuditFilter::default(), &page));
    assert!(listed.now_or_never().is_none());
    let uses = Box::pin(control.token_uses_keep());
    assert!(uses.now_or_never().is_none());
    drop(held);
    assert_eq!(of(&world, Operation::HostList).await.len(), 1);
    control.token_uses_keep().await.unwrap();
    let used = async || {
        let token = ann.token.to_string();
        let token = control.token_get(&ann, &crate::UserSelector::Me, &token).await;
        token.unwrap().last_used_at.is_some()
    };
    let written = async {
        while !used().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), written)
        .await
        .unwrap();
}

/// It is a part of the change's transaction: without the change there is none.
#[tokio::test]
async fn a_change_that_is_dropped_leaves_no_entry() {
    let (world, _host) = World::with_host().await;
    let mut change = world
        .control
        .change_by(&world.caller, Operation::VmStop)
        .await
        .unwrap();
    change.about("web");
    drop(change);
    assert_eq!(of(&world, Operation::VmStop).await, []);
}

#[tokio::test]
async fn what_could_not_be_opened_is_written_with_its_outcome() {
    let (world, mut host) = World::with_host().await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let console = crate::StreamRequest::Console { interactive: true };
    let refused = world
        .control
        .vm_stream(&world.caller, &id.into(), console)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.problem.code, ProblemCode::Unavailable);
    let [opened] = &of(&world, Operation::VmConsole).await[..] else {
        panic!("one entry")
    };
    assert_eq!(
        (opened.target.clone(), opened.outcome.as_str()),
        (Some(id.to_string()), "unavailable")
    );
}

#[tokio::test]
async fn people_read_their_own_entries_and_admins_all() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let bob = world.person("bob", Role::Member).await;
    for caller in [&ann, &bob] {
        world.control.vm_create(caller, request("web")).await.unwrap();
    }
    let page = PageRequest::default();
    let control = &world.control;
    for filter in [
        AuditFilter::default(),
        AuditFilter {
            user: Some(ann.user),
            ..AuditFilter::default()
        },
    ] {
        let hers = control.audit_list(&ann, filter, &page).await.unwrap().items;
        assert!(
            !hers.is_empty() && hers.iter().all(|entry| entry.user == Some(ann.user)),
            "{hers:?}"
        );
    }
    let asks_for_his = AuditFilter {
        user: Some(bob.user),
        ..AuditFilter::default()
    };
    assert_eq!(
        control.audit_list(&ann, asks_for_his, &page).await.unwrap().items,
        []
    );
    assert_eq!(of(&world, Operation::VmCreate).await.len(), 2);
    let first = PageRequest {
        limit: Some(1),
        cursor: None,
    };
    let one = control
        .audit_list(&world.caller, AuditFilter::default(), &first)
        .await
        .unwrap();
    let second = PageRequest {
        limit: Some(1),
        cursor: one.next,
    };
    let two = control
        .audit_list(&world.caller, AuditFilter::default(), &second)
        .await
        .unwrap();
    assert!(one.items[0].sequence > two.items[0].sequence, "newest first");
}

#[tokio::test]
async fn entries_and_events_are_kept_for_their_time() {
    let (world, _host) = World::with_host().await;
    world.create("web").await;
    let kept = Retention::default();
    world.pass(kept.events + std::time::Duration::from_secs(1));
    world.control.retention_look().await.unwrap();
    assert_eq!(of(&world, Operation::VmCreate).await.len(), 1);
    let mut read = world.control.inner.store.read().await.unwrap();
    assert_eq!(read.event_first().await.unwrap(), None);
    drop(read);
    world.pass(kept.audit);
    world.control.retention_look().await.unwrap();
    assert_eq!(of(&world, Operation::VmCreate).await.len(), 0);
}

#[tokio::test]
async fn no_more_events_are_kept_than_so_many() {
    let (world, _host) = World::with_host().await;
    let world = world.with_retention(Retention {
        event_rows: 3,
        ..Retention::default()
    });
    let world = world.await;
    for name in ["a", "b", "c"] {
        world.create(name).await;
    }
    world.control.retention_look().await.unwrap();
    let mut read = world.control.inner.store.read().await.unwrap();
    let (first, last) = (
        read.event_first().await.unwrap(),
        read.event_last().await.unwrap(),
    );
    assert_eq!((first, last), (Some(4), 6));
}
