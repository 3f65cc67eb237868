//! The audit: who, with what, what, and how it went.

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
    ann.origin.request = Some("abc".to_owned());
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
    assert_eq!(created.request.as_deref(), Some("abc"));
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
