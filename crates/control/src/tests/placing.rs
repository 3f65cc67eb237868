//! Placement, alone and in the transaction that books.

use std::collections::BTreeSet;

use model::{ByteSize, Capacity, Feature, HostId, ProblemCode};
use proptest::prelude::*;

use super::host::FakeHost;
use super::world::{World, request};
use crate::{HostSnapshot, Refused, Request, place};

fn capacity() -> impl Strategy<Value = Capacity> {
    (0..9_u32, 0..9_u64, 0..9_u64).prop_map(|(cpus, memory_bytes, disk_bytes)| Capacity {
        cpus,
        memory_bytes,
        disk_bytes,
    })
}

prop_compose! {
    fn snapshot()(
        byte: u8, silent in prop::bool::weighted(0.2), foreign in prop::bool::weighted(0.2),
        capacity in prop::option::weighted(0.9, capacity()), booked in capacity(), layouts: bool,
    ) -> HostSnapshot {
        let mut features = BTreeSet::from([Feature::OCI_IMAGE]);
        features.extend(layouts.then_some(Feature::OCI_LAYOUT));
        HostSnapshot {
            id: HostId::from_random([byte; 16]),
            name: format!("h{byte}").parse().unwrap(),
            silent, foreign, capacity, booked, features,
        }
    }
}

fn fits(host: &HostSnapshot, request: &Request) -> bool {
    let capacity = host.capacity.unwrap_or_default();
    !host.silent
        && !host.foreign
        && request.needs.is_subset(&host.features)
        && u64::from(host.booked.cpus) + u64::from(request.takes.cpus) <= u64::from(capacity.cpus)
        && host.booked.memory_bytes + request.takes.memory_bytes <= capacity.memory_bytes
        && host.booked.disk_bytes + request.takes.disk_bytes <= capacity.disk_bytes
}

proptest! {
    #[test]
    fn never_over_capacity_and_never_refused_where_one_fits(
        hosts in prop::collection::vec(snapshot(), 0..6), takes in capacity(), layout: bool,
    ) {
        let needs = if layout { Feature::OCI_LAYOUT } else { Feature::OCI_IMAGE };
        // A VM takes something of everything.
        let takes = Capacity { cpus: takes.cpus + 1, memory_bytes: takes.memory_bytes + 1, disk_bytes: takes.disk_bytes + 1 };
        let request = Request { takes, needs: [needs].into() };
        match place(&hosts, &request) {
            Ok(id) => prop_assert!(hosts.iter().any(|host| host.id == id && fits(host, &request))),
            Err(refusal) => {
                prop_assert!(!hosts.iter().any(|host| fits(host, &request)));
                prop_assert_eq!(refusal.hosts.len(), hosts.len());
            }
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer_in_any_order(
        hosts in prop::collection::vec(snapshot(), 0..6).prop_shuffle(), takes in capacity(),
    ) {
        let mut unique = hosts;
        unique.sort_by_key(|host| host.id);
        unique.dedup_by_key(|host| host.id);
        let request = Request { takes, needs: [Feature::OCI_IMAGE].into() };
        let forward = place(&unique, &request).ok();
        unique.reverse();
        prop_assert_eq!(forward, place(&unique, &request).ok());
    }
}

#[test]
fn each_host_says_why() {
    let host = |silent, booked| HostSnapshot {
        id: HostId::from_random([1; 16]),
        name: "box".parse().unwrap(),
        silent,
        foreign: false,
        capacity: Some(Capacity {
            cpus: 2,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 30,
        }),
        booked: Capacity {
            cpus: booked,
            ..Capacity::default()
        },
        features: [Feature::OCI_IMAGE].into(),
    };
    let request = Request {
        takes: Capacity {
            cpus: 1,
            memory_bytes: 1,
            disk_bytes: 1,
        },
        needs: [Feature::OCI_IMAGE].into(),
    };
    let refusal = place(&[host(true, 0), host(false, 2)], &request).unwrap_err();
    let reasons: Vec<_> = refusal.hosts.iter().map(|(_, why)| why.clone()).collect();
    assert_eq!(reasons, [Refused::Silent, Refused::Cpus { free: 0 }]);
    let problem = refusal.into_problem();
    assert_eq!(problem.code, ProblemCode::NoCapacity);
    assert_eq!(
        problem.detail,
        "no host has room for it: box is silent, box has 0 processors left"
    );
    assert_eq!(
        place(&[], &request).unwrap_err().into_problem().code,
        ProblemCode::NoHost
    );
}

#[tokio::test]
async fn a_hundred_creates_at_once_never_book_more_than_there_is() {
    let world = World::new().await;
    for byte in 1..=2 {
        let mut host = FakeHost::new(byte);
        host.capacity = Some(Capacity {
            cpus: 5,
            memory_bytes: 64 << 30,
            disk_bytes: 640 << 30,
        });
        world.deliver(&host.report()).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (control, caller) = (world.control.clone(), world.caller.clone());
        tasks.spawn(async move { control.vm_create(&caller, request(&format!("vm{number}"))).await });
    }
    let (created, refused): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refused.len()), (10, 90));
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.problem.code, ProblemCode::NoCapacity);
    }
    for host in world.hosts().await {
        assert_eq!((host.booked.cpus, host.vms), (5, 5));
    }
}

#[tokio::test]
async fn capacity_is_free_when_the_host_says_gone_and_not_before() {
    let world = World::new().await;
    let mut host = FakeHost::new(1);
    host.capacity.as_mut().unwrap().cpus = 1;
    world.deliver(&host.report()).await;
    let id = world.create("a").await.asked.id;
    world.round(&mut host).await;
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    let refused = world
        .control
        .vm_create(&world.caller, request("b"))
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::NoCapacity);
    world.round(&mut host).await;
    world.create("b").await;
}

#[tokio::test]
async fn values_out_of_range_are_refused_by_name() {
    let (world, _host) = World::with_host().await;
    let mut cases = vec![];
    for cpus in [0, 65] {
        cases.push((
            "/cpus",
            crate::CreateVm {
                cpus: Some(cpus),
                ..request("a")
            },
        ));
    }
    for size in [ByteSize::from_mib(63), ByteSize::from_bytes(u64::MAX)] {
        cases.push((
            "/memory_bytes",
            crate::CreateVm {
                memory: Some(size),
                ..request("a")
            },
        ));
        cases.push((
            "/disk_bytes",
            crate::CreateVm {
                disk: Some(size),
                ..request("a")
            },
        ));
    }
    let many = vec![request("a").keys[0].clone(); 65];
    cases.push((
        "/keys",
        crate::CreateVm {
            keys: many,
            ..request("a")
        },
    ));
    for (command, pointer) in [
        (vec![], "/service/command"),
        (vec!["a\0b".to_owned()], "/service/command"),
        (vec!["x".repeat(64 << 10)], "/service/command"),
    ] {
        let mut asked = request("a");
        asked.options.service.command = Some(command);
        cases.push((pointer, asked));
    }
    let mut authorities = request("a");
    authorities.options.user_cas = vec![request("a").keys[0].clone(); 17];
    cases.push(("/user_cas", authorities));
    for (pointer, request) in cases {
        let error = world.control.vm_create(&world.caller, request).await.unwrap_err();
        assert_eq!(error.problem.code, ProblemCode::InvalidValue);
        assert_eq!(error.problem.pointer.as_deref(), Some(pointer));
    }
    let made = world.create("a").await.asked.body;
    assert_eq!(
        (made.cpus, made.memory, made.disk),
        (1, ByteSize::from_mib(512), ByteSize::from_mib(2048))
    );
}

#[tokio::test]
async fn choices_need_a_host_that_obeys_them() {
    let (world, mut host) = World::with_host().await;
    let mut asked = request("web");
    asked.options.service.restart = model::RestartPolicy::Always;
    let refused = world
        .control
        .vm_create(&world.caller, asked.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::NoHost, "{refused}");
    let mut newer = host.report();
    newer.features.get_or_insert_default().push(Feature::OPTIONS);
    world.deliver(&newer).await;
    let made = world.control.vm_create(&world.caller, asked).await.unwrap();
    assert!(made.asked.body.needs.contains(&Feature::OPTIONS));
    // Whoever takes the choice back can have the VM on any host again.
    let change = async |restart| {
        let wish = crate::ChangeVm {
            service: crate::ChangeService {
                restart: Some(restart),
                ..crate::ChangeService::default()
            },
            ..crate::ChangeVm::default()
        };
        let changed = world
            .control
            .vm_change(&world.caller, &made.asked.id.into(), wish)
            .await;
        changed.unwrap().asked.body.needs
    };
    let needs = change(model::ServiceAsk::default().restart).await;
    assert!(!needs.contains(&Feature::OPTIONS), "{needs:?}");
    let needs = change(model::RestartPolicy::Always).await;
    assert!(needs.contains(&Feature::OPTIONS), "{needs:?}");
    // A VM without choices runs on a host from before there were any.
    let plain = world.create("plain").await.asked.body;
    assert!(!plain.needs.contains(&Feature::OPTIONS));
}
