//! Quotas: what counts, what is refused, and that many at once cannot pass a limit together.

use futures_util::future::join_all;
use model::{Limits, ProblemCode, Status, TeamRole, VmId};

use super::people::{code, of_team, vms, who};
use super::world::{World, request};
use crate::{PageRequest, VmSelector};

#[tokio::test]
async fn a_hundred_creates_at_a_limit_of_ten_give_ten() {
    let (world, mut host) = World::with_host().await;
    host.capacity = Some(model::Capacity {
        cpus: 1000,
        memory_bytes: 1 << 40,
        disk_bytes: 1 << 50,
    });
    world.deliver(&host.report()).await;
    let ann = world.user("ann", 1).await;
    world.limit(&who(&ann), vms(10)).await;
    let (world, ann) = (&world, &ann);
    let creates =
        (0..100).map(|number| async move { world.create_by(ann, request(&format!("vm-{number}"))).await });
    let outcomes = join_all(creates).await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 90);
    for error in refused {
        let quota = error.problem.quota.as_deref().unwrap();
        assert_eq!((quota.limit, quota.used, quota.requested), (10, 10, 1));
    }
    let quota = world.control.quota_get(ann, &who(ann)).await.unwrap();
    assert_eq!((quota.used.vms, quota.used.running), (10, 10));
}

#[tokio::test]
async fn a_vm_counts_while_it_stays_and_more_while_it_runs() {
    let (world, mut host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let id: VmSelector = world
        .create_by(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id
        .into();
    let used = || async { world.control.quota_get(&ann, &who(&ann)).await.unwrap().used };
    let running = used().await;
    assert_eq!((running.vms, running.cpus, running.running), (1, 1, 1));
    assert_eq!((running.memory_bytes, running.disk_bytes), (512 << 20, 2 << 30));
    world.control.vm_stop(&ann, &id).await.unwrap();
    let stopped = used().await;
    assert_eq!((stopped.vms, stopped.cpus, stopped.running), (1, 0, 0));
    assert_eq!((stopped.memory_bytes, stopped.disk_bytes), (0, 2 << 30));
    // A limit below what is used stops nothing, and lets nothing more start.
    let none = Limits {
        vms: Some(0),
        running: Some(0),
        disk_bytes: Some(0),
        ..Limits::default()
    };
    world.limit(&who(&ann), none).await;
    world.round(&mut host).await;
    assert_eq!(world.get(vm_id(&id)).await.unwrap().status, Status::Stopped);
    let refused = world.control.vm_start(&ann, &id).await.unwrap_err().problem;
    let resource = refused.quota.as_deref().map(|quota| quota.resource.as_str());
    assert_eq!(
        (refused.code, resource),
        (ProblemCode::QuotaExceeded, Some("running"))
    );
    world
        .control
        .quota_delete(&world.caller, &who(&ann))
        .await
        .unwrap();
    world.control.vm_start(&ann, &id).await.unwrap();
    world.limit(&who(&ann), none).await;
    world.control.vm_restart(&ann, &id).await.unwrap();
    world.control.vm_delete(&ann, &id).await.unwrap();
    assert_eq!(used().await, model::Usage::default());
}

fn vm_id(selector: &VmSelector) -> VmId {
    match selector {
        VmSelector::Id(id) => *id,
        other @ (VmSelector::Name(_) | VmSelector::Owned(..)) => panic!("{other} is no id"),
    }
}

#[tokio::test]
async fn a_quota_is_for_those_whose_it_is() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let team = world.team("ops", &[(&ann, TeamRole::Member)]).await;
    let control = &world.control;
    world.limit(&team, vms(1)).await;
    assert_eq!(control.quota_get(&ann, &team).await.unwrap().set, vms(1));
    assert_eq!(code(control.quota_get(&bob, &team).await), ProblemCode::NotFound);
    assert_eq!(
        code(control.quota_get(&bob, &who(&ann)).await),
        ProblemCode::NotFound
    );
    assert_eq!(
        code(control.quota_put(&ann, &team, vms(9)).await),
        ProblemCode::AdminOnly
    );
    // A team's VM counts for the team, whoever made it.
    world.create_by(&ann, of_team("one", "ops")).await.unwrap();
    let refused = world
        .create_by(&ann, of_team("two", "ops"))
        .await
        .unwrap_err()
        .problem;
    let scope = refused.quota.as_deref().map(|quota| quota.scope.as_str());
    assert_eq!((refused.code, scope), (ProblemCode::QuotaExceeded, Some("team")));
    assert_eq!(control.quota_get(&ann, &who(&ann)).await.unwrap().used.vms, 0);
    assert_eq!(
        code(world.create_by(&bob, of_team("two", "ops")).await),
        ProblemCode::InvalidValue
    );
    let all = control
        .quota_list(&world.caller, &PageRequest::default())
        .await
        .unwrap();
    let names: Vec<_> = all.items.iter().map(|quota| quota.name.to_string()).collect();
    assert_eq!(names, ["admin", "ann", "bob", "ops"]);
}
