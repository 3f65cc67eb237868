//! Lists of VMs: who sees which, in which order, and what a walk over pages meets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Capacity, ProblemCode, Right, Role, Status};
use tokio::task::JoinSet;

use super::world::{World, request};
use crate::{Caller, CreateVm, ListVms, Page, PageRequest, VmSort, VmView};

impl World {
    async fn create_as(&self, caller: &Caller, name: &str, labels: &[(&str, &str)]) -> VmView {
        let wish = CreateVm {
            labels: labels
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..request(name)
        };
        self.control.vm_create(caller, wish).await.unwrap()
    }

    async fn page(&self, caller: &Caller, list: &ListVms) -> Page<VmView> {
        self.control.vm_list(caller, list).await.unwrap()
    }

    async fn names(&self, caller: &Caller, list: &ListVms) -> Vec<String> {
        let page = self.page(caller, list).await;
        names_of(&page)
    }
}

fn names_of(page: &Page<VmView>) -> Vec<String> {
    page.items
        .iter()
        .map(|vm| vm.asked.body.name.to_string())
        .collect()
}

fn part(limit: u32, cursor: Option<String>) -> PageRequest {
    PageRequest {
        limit: Some(limit),
        cursor,
    }
}

#[tokio::test]
async fn everybody_sees_what_is_theirs_their_teams_or_shared_with_them() {
    let (world, _host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let bob = world.person("bob", Role::Member).await;
    world.create_as(&ann, "a1", &[]).await;
    let shared = world.create_as(&bob, "b1", &[]).await;
    world.create_as(&bob, "b2", &[]).await;
    let everything = ListVms::default();
    assert_eq!(world.names(&ann, &everything).await, ["a1"]);
    let mut change = world.control.change().await.unwrap();
    let now = change.now;
    change
        .share_put(shared.asked.id, ann.user.into(), Right::Use, now)
        .await
        .unwrap();
    // What one owns and is shared with one as well is met once.
    let own = world.page(&ann, &everything).await.items.remove(0).asked.id;
    change
        .share_put(own, ann.user.into(), Right::Use, now)
        .await
        .unwrap();
    world.control.commit(change).await.unwrap();
    let mut seen = world.names(&ann, &everything).await;
    seen.sort();
    assert_eq!(seen, ["a1", "b1"]);
    assert_eq!(world.names(&bob, &everything).await.len(), 2);
    assert_eq!(world.names(&world.caller, &everything).await.len(), 3);
    let of_bob = ListVms {
        owner: Some("bob".parse().unwrap()),
        ..ListVms::default()
    };
    assert_eq!(world.names(&ann, &of_bob).await, ["b1"]);
    let of_nobody = ListVms {
        owner: Some("nobody".parse().unwrap()),
        ..ListVms::default()
    };
    assert_eq!(world.names(&world.caller, &of_nobody).await, [""; 0]);
}

#[tokio::test]
async fn filters_must_all_fit_and_orders_hold() {
    let (world, mut host) = World::with_host().await;
    let admin = world.caller.clone();
    for (name, labels) in [
        ("web-1", &[("tier", "web"), ("stage", "test")][..]),
        ("db-1", &[("tier", "db")]),
        ("web-2", &[("tier", "web")]),
    ] {
        world.create_as(&admin, name, labels).await;
        world.pass(Duration::from_millis(1));
    }
    let list = |labels: &[(&str, &str)]| ListVms {
        labels: labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..ListVms::default()
    };
    assert_eq!(world.names(&admin, &list(&[])).await, ["web-1", "db-1", "web-2"]);
    assert_eq!(
        world.names(&admin, &list(&[("tier", "web")])).await,
        ["web-1", "web-2"]
    );
    let both = list(&[("tier", "web"), ("stage", "test")]);
    assert_eq!(world.names(&admin, &both).await, ["web-1"]);
    let contradiction = list(&[("tier", "web"), ("tier", "db")]);
    assert_eq!(world.names(&admin, &contradiction).await, [""; 0]);
    let sorted = |by_name, descending| ListVms {
        sort: VmSort { by_name, descending },
        ..ListVms::default()
    };
    assert_eq!(
        world.names(&admin, &sorted(true, false)).await,
        ["db-1", "web-1", "web-2"]
    );
    assert_eq!(
        world.names(&admin, &sorted(true, true)).await,
        ["web-2", "web-1", "db-1"]
    );
    assert_eq!(
        world.names(&admin, &sorted(false, true)).await,
        ["web-2", "db-1", "web-1"]
    );
    let prefix = ListVms {
        name_prefix: Some("web".to_owned()),
        ..ListVms::default()
    };
    assert_eq!(world.names(&admin, &prefix).await, ["web-1", "web-2"]);
    let here = ListVms {
        host: Some(host.id.into()),
        ..ListVms::default()
    };
    assert_eq!(world.names(&admin, &here).await.len(), 3);
    let ann = world.person("ann", Role::Member).await;
    let refused = world.control.vm_list(&ann, &here).await.unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::AdminOnly);
    world.round(&mut host).await;
    let status = |status| ListVms {
        status: Some(status),
        ..ListVms::default()
    };
    assert_eq!(world.names(&admin, &status(Status::Running)).await.len(), 3);
    assert_eq!(world.names(&admin, &status(Status::Init)).await.len(), 0);
}

/// What is there during the whole walk is met exactly once, whatever comes and goes between its pages.
#[tokio::test]
async fn a_walk_meets_what_stays_exactly_once() {
    for (by_name, descending) in [(false, false), (false, true), (true, false), (true, true)] {
        let (world, mut host) = World::with_host().await;
        host.capacity = Some(Capacity {
            cpus: 100,
            memory_bytes: 100 << 30,
            disk_bytes: 1 << 40,
        });
        world.deliver(&host.report()).await;
        let ann = world.person("ann", Role::Member).await;
        let mut going = Vec::new();
        for number in 0..30 {
            world.create_as(&ann, &format!("stays-{number:02}"), &[]).await;
            going.push(
                world
                    .create_as(&ann, &format!("goes-{number:02}"), &[])
                    .await
                    .asked
                    .id,
            );
            // Several have the same time.
            if number % 3 == 0 {
                world.pass(Duration::from_millis(1));
            }
        }
        let mut met: BTreeMap<String, usize> = BTreeMap::new();
        let mut list = ListVms {
            page: part(7, None),
            sort: VmSort { by_name, descending },
            ..ListVms::default()
        };
        let mut pages = 0;
        loop {
            let page = world.page(&ann, &list).await;
            for name in names_of(&page) {
                *met.entry(name).or_default() += 1;
            }
            pages += 1;
            let Some(cursor) = page.next else { break };
            list.page = part(7, Some(cursor));
            world.create_as(&ann, &format!("comes-{pages:02}"), &[]).await;
            for id in going.drain(..going.len().min(5)) {
                world.control.vm_delete(&ann, &id.into()).await.unwrap();
            }
            world.round(&mut host).await;
        }
        assert!(pages > 4, "{pages}");
        let stayed = met.iter().filter(|(name, _)| name.starts_with("stays"));
        assert_eq!(
            stayed.clone().count(),
            30,
            "by_name {by_name} descending {descending}: {met:?}"
        );
        assert!(met.values().all(|times| *times == 1), "{met:?}");
    }
}

/// Waits until more has come and gone than by now: a walk may be over before anybody else had their turn.
async fn goes_on(churned: &AtomicUsize) {
    let before = churned.load(Ordering::Relaxed);
    let more = async {
        while churned.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), more).await;
    assert!(waited.is_ok(), "nobody comes or goes any more");
}

/// The same while others create and delete all the time, in tasks of their own, and not between two pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_walk_beside_creates_and_deletes_meets_what_stays_exactly_once() {
    let (world, mut host) = World::with_host().await;
    host.capacity = Some(Capacity {
        cpus: 10_000,
        memory_bytes: 1 << 50,
        disk_bytes: 1 << 50,
    });
    world.deliver(&host.report()).await;
    let ann = world.person("ann", Role::Member).await;
    for number in 0..40 {
        world.create_as(&ann, &format!("stays-{number:02}"), &[]).await;
        world.pass(Duration::from_millis(number % 2));
    }
    let churned = Arc::new(AtomicUsize::new(0));
    let mut churning = JoinSet::new();
    // Names before, among and behind those that stay.
    for name in ["aaa", "stays-19-and", "zzz"] {
        let (control, ann, churned) = (world.control.clone(), ann.clone(), churned.clone());
        churning.spawn(async move {
            for number in 0.. {
                let made = control
                    .vm_create(&ann, request(&format!("{name}-{number}")))
                    .await;
                let id = made.unwrap().asked.id;
                control.vm_delete(&ann, &id.into()).await.unwrap();
                churned.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for (by_name, descending) in [(false, false), (false, true), (true, false), (true, true)] {
        let sort = VmSort { by_name, descending };
        let (mut met, mut cursor) = (BTreeMap::<_, usize>::new(), None);
        loop {
            let list = ListVms {
                page: part(3, cursor),
                sort,
                ..ListVms::default()
            };
            let page = world.page(&ann, &list).await;
            for name in names_of(&page) {
                *met.entry(name).or_default() += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            goes_on(&churned).await;
        }
        let stayed = met
            .keys()
            .filter(|name| name.len() == "stays-00".len() && name.starts_with("stays"));
        assert_eq!(stayed.count(), 40, "{sort:?}: {met:?}");
        assert!(met.values().all(|times| *times == 1), "{sort:?}: {met:?}");
    }
    assert!(churning.try_join_next().is_none(), "each went on to the end");
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let (world, _host) = World::with_host().await;
    for name in ["a", "b", "c"] {
        world.create(name).await;
    }
    let list = |sort, page| ListVms {
        sort,
        page,
        ..ListVms::default()
    };
    let by_time = VmSort::default();
    let next = world
        .page(&world.caller, &list(by_time, part(1, None)))
        .await
        .next;
    let by_name = VmSort {
        by_name: true,
        ..by_time
    };
    let ann = world.person("ann", Role::Admin).await;
    for (caller, sort) in [(&world.caller, by_name), (&ann, by_time)] {
        let refused = world
            .control
            .vm_list(caller, &list(sort, part(1, next.clone())))
            .await
            .unwrap_err();
        assert_eq!(refused.problem.code, ProblemCode::InvalidCursor);
    }
    // Another length of page is the same list.
    let rest = list(by_time, part(500, next));
    assert_eq!(world.names(&world.caller, &rest).await.len(), 2);
}
