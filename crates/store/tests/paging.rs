//! Pages of VMs among ten thousand: what they hold, and that the last costs no more than the first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::{Asked, ByteSize, HostId, Power, PrincipalId, PublicKey, Role, UserId, VmBody, VmId, VmOptions};
use store::{Host, Life, NewVm, Principal, Store, User, VmFilter, VmOrder, VmPage, VmPlace, VmsOf, Write};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh somebody";
const VMS: u64 = 10_000;
const LIMIT: u32 = 101;

fn user(byte: u8) -> UserId {
    UserId::from_random([byte; 16])
}

fn host() -> Host {
    Host {
        id: HostId::from_random([1; 16]),
        name: "box1".parse().unwrap(),
        version: "0.1.0".to_owned(),
        installation: None,
        silent: false,
        first_report_at: Timestamp::UNIX_EPOCH,
        last_report_at: Timestamp::UNIX_EPOCH,
        report: (0, 0),
        plan_number: 0,
        plan_content: None,
        accepted_plan: 0,
        refused: None,
        capacity: None,
        images: vec![],
        features: [].into(),
    }
}

fn asked(number: u64) -> Asked {
    let mut bytes = [0; 16];
    // Ids are no order of time.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Asked {
        id: VmId::from_random(bytes),
        placement: 1,
        generation: 1,
        remove: false,
        body: VmBody {
            name: format!("vm-{number:05}").parse().unwrap(),
            image: "debian:12".parse().unwrap(),
            cpus: 1,
            memory: ByteSize::from_mib(256),
            disk: ByteSize::from_mib(1024),
            power: Power::On,
            boot: 1,
            rootfs: 1,
            authorized_keys: vec![KEY.parse().unwrap()],
            needs: [].into(),
            options: VmOptions::default(),
            barred: [].into(),
            idle_after: None,
            registry_secret: None,
        },
    }
}

/// The first half is of one user, the second of another; every other VM is labelled.
async fn fill(write: &mut Write) {
    for (byte, name) in [(1, "ann"), (2, "bob")] {
        let user = User {
            id: user(byte),
            name: name.parse().unwrap(),
            role: Role::Member,
            disabled: false,
            created_at: Timestamp::UNIX_EPOCH,
        };
        write.principal_insert(&Principal::User(user)).await.unwrap();
    }
    write.host_put(&host()).await.unwrap();
    let keys: Vec<PublicKey> = vec![KEY.parse().unwrap()];
    let labels: BTreeMap<String, String> = [("tier".to_owned(), "web".to_owned())].into();
    for number in 0..VMS {
        let asked = asked(number);
        let new = NewVm {
            asked: &asked,
            request: None,
            owner: user(if number < VMS / 2 { 1 } else { 2 }).into(),
            own_keys: &keys,
            account_keys: true,
            host: host().id,
            labels: &if number % 2 == 0 {
                labels.clone()
            } else {
                [].into()
            },
            life: &Life::default(),
            created_at: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        };
        write.vm_insert(&new).await.unwrap();
    }
}

async fn walk(store: &Store, order: VmOrder, descending: bool) -> (Vec<String>, Vec<Duration>) {
    let mut page = VmPage {
        of: VmsOf::SeenBy(vec![PrincipalId::from(user(1))]),
        filter: VmFilter {
            labels: [("tier".to_owned(), "web".to_owned())].into(),
            ..VmFilter::default()
        },
        order,
        descending,
        behind: None,
        limit: LIMIT,
    };
    let (mut names, mut times) = (Vec::new(), Vec::new());
    loop {
        let began = Instant::now();
        let vms = store.read().await.unwrap().vm_page(&page).await.unwrap();
        times.push(began.elapsed());
        names.extend(vms.iter().map(|vm| vm.asked.body.name.to_string()));
        match vms.last() {
            Some(last) => page.behind = Some(VmPlace::of(last, order)),
            None => return (names, times),
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn the_last_page_costs_no_more_than_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("pitwall.db")).await.unwrap();
    let mut write = store.write().await.unwrap();
    fill(&mut write).await;
    write.commit().await.unwrap();
    let expected: Vec<_> = (0..VMS / 2)
        .step_by(2)
        .map(|number| format!("vm-{number:05}"))
        .collect();
    for order in [VmOrder::CreatedAt, VmOrder::Name] {
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for round in 0..10 {
            let (mut names, times) = walk(&store, order, round % 2 == 1).await;
            if round % 2 == 1 {
                names.reverse();
            }
            assert_eq!(names, expected, "{order:?}");
            firsts.push(times[0]);
            // The last with something on it, and the one behind it that tells that there is no more.
            lasts.push(times[times.len() - 2] + times[times.len() - 1]);
        }
        let (first, last) = (median(firsts), median(lasts));
        assert!(last <= first * 2, "{order:?}: first {first:?}, last {last:?}");
        assert!(first < Duration::from_millis(50), "{order:?}: first {first:?}");
    }
    store.close().await;
}
