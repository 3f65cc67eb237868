//! Quotas: what counts, what is refused, and that many at once cannot pass a limit together.

use futures_util::future::join_all;
use model::{ByteSize, Limits, ProblemCode, QuotaExceeded, Resource, Status, TeamRole, VmId};
use tokio::task::JoinSet;

use super::people::{code, of_team, vms, who};
use super::world::{World, request};
use crate::{Caller, Control, CreateVm, Error, PageRequest, ResizeVm, VmSelector, VmView};

impl World {
    /// One whose host has room for all that is asked here.
    async fn roomy() -> Self {
        let (world, mut host) = Self::with_host().await;
        host.capacity = Some(model::Capacity {
            cpus: 1000,
            memory_bytes: 1 << 40,
            disk_bytes: 1 << 50,
        });
        world.deliver(&host.report()).await;
        world
    }

    /// So many VMs of somebody's.
    async fn own(&self, owner: &Caller, count: u32) -> Vec<VmId> {
        let mut ids = Vec::new();
        for number in 0..count {
            let name = format!("{}-{number}", owner.name);
            ids.push(self.create_by(owner, request(&name)).await.unwrap().asked.id);
        }
        ids
    }

    /// Asks for something of each of these VMs, all in tasks of their own. Gives how many were accepted; the others were
    /// refused for this resource.
    async fn all_at_once<F>(
        &self,
        vms: &[VmId],
        resource: Resource,
        ask: impl Fn(Control, VmSelector) -> F,
    ) -> usize
    where
        F: Future<Output = Result<VmView, Error>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for vm in vms {
            tasks.spawn(ask(self.control.clone(), (*vm).into()));
        }
        let (accepted, refused): (Vec<_>, Vec<_>) =
            tasks.join_all().await.into_iter().partition(Result::is_ok);
        for error in refused.into_iter().filter_map(Result::err) {
            assert_eq!(exceeded(error).resource, resource);
        }
        accepted.len()
    }
}

fn exceeded(error: Error) -> QuotaExceeded {
    assert_eq!(error.problem.code, ProblemCode::QuotaExceeded, "{error:?}");
    *error.problem.quota.unwrap()
}

#[tokio::test]
async fn a_hundred_creates_at_a_limit_of_ten_give_ten() {
    let world = World::roomy().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_sizes_and_transfers_at_once_give_exactly_the_limit() {
    let world = World::roomy().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let vms_of_ann = world.own(&ann, 20).await;
    let used = async |of: &Caller| world.control.quota_get(of, &who(of)).await.unwrap().used;

    for vm in &vms_of_ann {
        world.control.vm_stop(&ann, &(*vm).into()).await.unwrap();
    }
    let seven = Limits {
        running: Some(7),
        ..Limits::default()
    };
    world.limit(&who(&ann), seven).await;
    let start = |control: Control, vm: VmSelector| {
        let ann = ann.clone();
        async move { control.vm_start(&ann, &vm).await }
    };
    assert_eq!(world.all_at_once(&vms_of_ann, Resource::Running, start).await, 7);
    assert_eq!(used(&ann).await.running, 7);

    // Twenty disks of 2 GiB, of which three may have 1 GiB more.
    let disks = Limits {
        disk_bytes: Some((20 * 2 + 3) << 30),
        ..Limits::default()
    };
    world.limit(&who(&ann), disks).await;
    let grow = |control: Control, vm: VmSelector| {
        let ann = ann.clone();
        let larger = ResizeVm {
            disk: Some(ByteSize::from_mib(3 << 10)),
            ..ResizeVm::default()
        };
        async move { control.vm_resize(&ann, &vm, larger).await }
    };
    assert_eq!(world.all_at_once(&vms_of_ann, Resource::DiskBytes, grow).await, 3);
    assert_eq!(used(&ann).await.disk_bytes, 43 << 30);

    // Creates of bob's own meanwhile count too.
    world.limit(&who(&bob), vms(5)).await;
    let give = |control: Control, vm: VmSelector| {
        let (ann, bob) = (ann.clone(), who(&bob));
        async move { control.vm_transfer(&ann, &vm, &bob).await }
    };
    let creates = (0..10).map(|number| world.create_by(&bob, request(&format!("new-{number}"))));
    let (given, made) = tokio::join!(
        world.all_at_once(&vms_of_ann, Resource::Vms, give),
        join_all(creates)
    );
    let made = made.into_iter().filter(Result::is_ok).count();
    assert_eq!(given + made, 5, "{given} given, {made} made");
    assert_eq!(
        (used(&bob).await.vms, used(&ann).await.vms),
        (5, 20 - given as u64)
    );
}

#[tokio::test]
async fn a_size_beyond_the_quota_is_refused() {
    let (world, mut host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let vm = world.own(&ann, 1).await.remove(0);
    let limits = Limits {
        cpus: Some(2),
        memory_bytes: Some(1 << 30),
        disk_bytes: Some(3 << 30),
        ..Limits::default()
    };
    world.limit(&who(&ann), limits).await;
    let resize = async |wish: ResizeVm| world.control.vm_resize(&ann, &vm.into(), wish).await;
    let size = |cpus, memory_mib: u64, disk_mib: u64| ResizeVm {
        cpus: Some(cpus),
        memory: Some(ByteSize::from_mib(memory_mib)),
        disk: Some(ByteSize::from_mib(disk_mib)),
        restart: true,
    };
    let before = world.get(vm).await.unwrap().asked;
    for (wish, resource, limit, used, requested) in [
        (size(3, 512, 2048), Resource::Cpus, 2, 1, 2),
        (
            size(1, 1025, 2048),
            Resource::MemoryBytes,
            1 << 30,
            512 << 20,
            513 << 20,
        ),
        (
            size(1, 512, 3073),
            Resource::DiskBytes,
            3 << 30,
            2 << 30,
            1025 << 20,
        ),
    ] {
        let told = exceeded(resize(wish).await.unwrap_err());
        let told = (told.resource, told.limit, told.used, told.requested);
        assert_eq!(told, (resource, limit, used, requested));
        assert_eq!(world.get(vm).await.unwrap().asked, before, "nothing was asked");
    }
    resize(size(2, 1024, 3072)).await.unwrap();
    // What is off takes no processors; it is its start that is refused then.
    world.control.vm_stop(&ann, &vm.into()).await.unwrap();
    world.round(&mut host).await;
    let off = ResizeVm {
        restart: false,
        ..size(4, 512, 3072)
    };
    resize(off).await.unwrap();
    let start = world.control.vm_start(&ann, &vm.into()).await;
    assert_eq!(exceeded(start.unwrap_err()).resource, Resource::Cpus);
    // Above its limit it may still become smaller.
    world
        .limit(
            &who(&ann),
            Limits {
                disk_bytes: Some(0),
                ..limits
            },
        )
        .await;
    resize(ResizeVm {
        cpus: Some(2),
        ..ResizeVm::default()
    })
    .await
    .unwrap();
    world.control.vm_start(&ann, &vm.into()).await.unwrap();
}

#[tokio::test]
async fn who_has_no_quota_has_the_one_of_the_settings() {
    let (world, _host) = World::with_host().await;
    let defaults = Limits {
        vms: Some(2),
        cpus: Some(1),
        ..Limits::default()
    };
    let world = world.with_quotas(defaults).await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    world.team("ops", &[(&ann, TeamRole::Member)]).await;
    world
        .limit(
            &who(&bob),
            Limits {
                cpus: Some(3),
                ..Limits::default()
            },
        )
        .await;
    for (caller, limits) in [
        (&ann, defaults),
        // What was set for bob stands beside the rest of the settings.
        (
            &bob,
            Limits {
                cpus: Some(3),
                ..defaults
            },
        ),
    ] {
        let quota = world.control.quota_get(caller, &who(caller)).await.unwrap();
        assert_eq!(quota.limits, limits);
    }
    let create = async |caller: &Caller, wish: CreateVm| match world.create_by(caller, wish).await {
        Ok(_) => None,
        Err(error) => Some(exceeded(error).resource),
    };
    assert_eq!(create(&ann, request("one")).await, None);
    assert_eq!(create(&ann, request("two")).await, Some(Resource::Cpus));
    assert_eq!(create(&ann, of_team("one", "ops")).await, None);
    assert_eq!(create(&ann, of_team("two", "ops")).await, Some(Resource::Cpus));
    assert_eq!(create(&bob, request("one")).await, None);
    assert_eq!(create(&bob, request("two")).await, None);
    assert_eq!(create(&bob, request("three")).await, Some(Resource::Vms));
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
