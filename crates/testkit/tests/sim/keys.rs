//! Keys of an account reach the guests of the VMs that its user may use.

use std::time::{Duration, Instant};

use api::{CreateSshKey, CreateTeam, CreateUser, PutMember, PutShare};
use testkit::{Cloud, until};

use crate::support::{KEY, create, expect, start, stop};

const ANOTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw somebody@laptop";

/// How long a change of keys may take to have effect on a host that can be reached.
const PROMISED: Duration = Duration::from_secs(2);

/// Waits until the guest knows just these keys, and gives how long that took.
async fn until_opened_by(cloud: &Cloud, vm: model::VmId, keys: &[&str]) -> Duration {
    let (guests, began) = (&cloud.hosts[0].guests, Instant::now());
    let look = || async { Ok::<_, ()>(guests.keys(vm)) };
    until("the guest knows the keys", look, |known| known == keys)
        .await
        .unwrap();
    began.elapsed()
}

#[tokio::test]
async fn a_key_of_an_account_has_effect_within_two_seconds() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await.id;
    let client = cloud.client().unwrap();
    let key = CreateSshKey {
        key: ANOTHER.to_owned(),
    };
    let added = client.key_create("me", &key).await.unwrap();
    let took = until_opened_by(&cloud, vm, &[KEY, ANOTHER]).await;
    assert!(took < PROMISED, "{took:?}");
    client.key_delete("me", &added.fingerprint).await.unwrap();
    let took = until_opened_by(&cloud, vm, &[KEY]).await;
    assert!(took < PROMISED, "{took:?}");
    assert!(cloud.hosts[0].guests.barred(vm).is_empty(), "open sessions stay");
}

#[tokio::test]
async fn members_and_users_come_and_go_within_two_seconds() {
    let cloud = Cloud::start(1).await.unwrap();
    let (client, vm) = (cloud.client().unwrap(), create(&cloud, "web").await.id);
    let ann = CreateUser {
        name: "ann".to_owned(),
        role: None,
    };
    client.user_create(&ann).await.unwrap();
    let key = CreateSshKey {
        key: ANOTHER.to_owned(),
    };
    let fingerprint = client.key_create("ann", &key).await.unwrap().fingerprint;
    client
        .team_create(&CreateTeam {
            name: "ops".to_owned(),
        })
        .await
        .unwrap();
    let share = PutShare {
        right: "use".to_owned(),
    };
    client.vm_share_put("web", "ops", &share).await.unwrap();
    let member = PutMember {
        role: "member".to_owned(),
    };
    for removes_the_user in [false, true] {
        client.member_put("ops", "ann", &member).await.unwrap();
        let took = until_opened_by(&cloud, vm, &[KEY, ANOTHER]).await;
        assert!(took < PROMISED, "{took:?}");
        match removes_the_user {
            true => client.user_delete("ann", None).await.unwrap(),
            false => client.member_delete("ops", "ann").await.unwrap(),
        }
        let took = until_opened_by(&cloud, vm, &[KEY]).await;
        assert!(took < PROMISED, "{took:?}");
        assert_eq!(
            cloud.hosts[0].guests.barred(vm),
            std::slice::from_ref(&fingerprint)
        );
    }
}

#[tokio::test]
async fn a_key_waits_for_a_host_that_is_away_and_for_the_next_start() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await.id;
    let key = CreateSshKey {
        key: ANOTHER.to_owned(),
    };
    cloud.hosts[0].end().await;
    let added = cloud.client().unwrap().key_create("me", &key).await.unwrap();
    assert_eq!(cloud.hosts[0].guests.keys(vm), [KEY], "its host is away");
    cloud.hosts[0].begin().await.unwrap();
    until_opened_by(&cloud, vm, &[KEY, ANOTHER]).await;

    stop(&cloud, "web").await;
    expect(&cloud, "web", model::Status::Stopped).await;
    let client = cloud.client().unwrap();
    client.key_delete("me", &added.fingerprint).await.unwrap();
    start(&cloud, "web").await;
    expect(&cloud, "web", model::Status::Running).await;
    until_opened_by(&cloud, vm, &[KEY]).await;
}

#[tokio::test]
async fn a_disabled_user_s_machine_stops_and_comes_back() {
    let cloud = Cloud::start(1).await.unwrap();
    let client = cloud.client().unwrap();
    let ann = CreateUser {
        name: "ann".to_owned(),
        role: None,
    };
    client.user_create(&ann).await.unwrap();
    let wish = api::CreateVm {
        owner: Some("ann".to_owned()),
        ..crate::support::wish("web")
    };
    client.vm_create(&wish).await.unwrap();
    expect(&cloud, "web.ann", model::Status::Running).await;
    client.user_disable("ann").await.unwrap();
    let off = expect(&cloud, "web.ann", model::Status::Stopped).await;
    let reason = off.reason.unwrap();
    assert_eq!(
        (reason.code.as_str(), off.power.as_str()),
        ("owner_disabled", "on")
    );
    client.user_enable("ann").await.unwrap();
    expect(&cloud, "web.ann", model::Status::Running).await;
    assert_eq!(cloud.hosts[0].sim.starts(), 2);
}
