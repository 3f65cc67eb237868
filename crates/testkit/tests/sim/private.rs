//! Images that need credentials, on a host whose cache all VMs share.

mod registry;

use std::fs;
use std::path::{Path, PathBuf};

use api::{Client, CreateVm, PutShare, RebuildVm, RegistryAuth, Transfer, Vm};
use driver::Needs;
use model::{Role, Status};
use testkit::{Cloud, until};

use crate::support::{expect, remove, wish};
use registry::Registry;

const CANARY: &str = "canary-p4ssword";

fn right() -> RegistryAuth {
    RegistryAuth {
        username: "fred".to_owned(),
        password: CANARY.to_owned(),
    }
}

fn wrong() -> RegistryAuth {
    RegistryAuth {
        password: "guessed".to_owned(),
        ..right()
    }
}

async fn cloud() -> Cloud {
    let needs = Needs {
        root_filesystem: true,
        tap: true,
        ..Needs::default()
    };
    Cloud::start_needing(needs, 1).await.unwrap()
}

async fn ask(cloud: &Cloud, name: &str, image: &str, registry_auth: Option<RegistryAuth>) -> Vm {
    ask_by(cloud.client().unwrap(), name, image, registry_auth).await
}

async fn ask_by(client: &Client, name: &str, image: &str, registry_auth: Option<RegistryAuth>) -> Vm {
    let asked = CreateVm {
        image: image.to_owned(),
        disk_bytes: Some(64 << 20),
        registry_auth,
        ..wish(name)
    };
    client.vm_create(&asked).await.unwrap()
}

async fn expect_forbidden(cloud: &Cloud, name: &str) {
    is_forbidden(cloud.client().unwrap(), name).await;
}

async fn is_forbidden(client: &Client, name: &str) {
    let told = |vm: &Vm| vm.status.known() == Some(Status::Error);
    let vm = until("it is an error", || client.vm_get(name), told)
        .await
        .unwrap();
    assert_eq!(vm.reason.unwrap().code, "image_forbidden", "{name}");
}

/// Makes a VM anew and waits until its host has finished with that, or has given up.
async fn rebuild(client: &Client, vm: &str, image: &str, registry_auth: Option<RegistryAuth>) -> Vm {
    let wish = RebuildVm {
        image: Some(image.to_owned()),
        registry_auth,
    };
    let asked = client.vm_rebuild(vm, &wish).await.unwrap().generation;
    let done = |vm: &Vm| vm.settled_generation == asked;
    until("it is made anew", || client.vm_get(vm), done)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_private_image_in_the_cache_serves_only_who_may_pull_it() {
    let registry = Registry::start().await;
    let cloud = cloud().await;
    let [by_tag, by_digest] = registry.references();
    ask(&cloud, "before", &by_tag, None).await;
    expect_forbidden(&cloud, "before").await;
    ask(&cloud, "owner", &by_tag, Some(right())).await;
    let owner = expect(&cloud, "owner", Status::Running).await;
    assert!(by_digest.ends_with(owner.image_digest.as_deref().unwrap()));

    let refused = [
        ("nobody-tag", &by_tag, None),
        ("nobody-digest", &by_digest, None),
        ("guess-tag", &by_tag, Some(wrong())),
        ("guess-digest", &by_digest, Some(wrong())),
    ];
    for (name, image, auth) in refused {
        ask(&cloud, name, image, auth).await;
        expect_forbidden(&cloud, name).await;
    }
    ask(&cloud, "second", &by_digest, Some(right())).await;
    expect(&cloud, "second", Status::Running).await;
    assert_eq!(cloud.hosts[0].sim.starts(), 2, "nobody else's machine began");
}

#[tokio::test]
async fn nobody_reads_a_private_image_with_somebody_elses_password() {
    let registry = Registry::start().await;
    let cloud = cloud().await;
    let [by_tag, by_digest] = registry.references();
    let [owner, manager, stranger] = [
        cloud.client_of("owner", Role::Member).await.unwrap(),
        cloud.client_of("manager", Role::Member).await.unwrap(),
        cloud.client_of("stranger", Role::Member).await.unwrap(),
    ];
    let vm = ask_by(&owner, "web", &by_tag, Some(right())).await;
    expect(&cloud, "web.owner", Status::Running).await;
    for (name, image) in [("by-tag", &by_tag), ("by-digest", &by_digest)] {
        ask_by(&stranger, name, image, None).await;
        is_forbidden(&stranger, name).await;
    }
    assert!(
        stranger.image_list().await.unwrap().items.is_empty(),
        "nor hears of it"
    );
    let of_owner = owner.image_list().await.unwrap().items;
    let known: Vec<_> = of_owner
        .iter()
        .map(|image| (&image.references, &image.hosts))
        .collect();
    assert_eq!(known, [(&vec![by_tag.clone()], &Vec::new())]);
    let all = cloud.client().unwrap().image_list().await.unwrap().items;
    assert!(all[0].hosts.len() == 1, "{all:?}");

    let share = PutShare {
        right: "manage".to_owned(),
    };
    owner.vm_share_put("web", "manager", &share).await.unwrap();
    let same = rebuild(&manager, "web.owner", &by_tag, None).await;
    assert_eq!(
        same.status.known(),
        Some(Status::Running),
        "the image that the VM has"
    );
    let other = rebuild(&manager, "web.owner", &by_digest, None).await;
    assert_eq!(other.reason.unwrap().code, "image_forbidden");
    let own = rebuild(&manager, "web.owner", &by_digest, Some(right())).await;
    assert_eq!((own.id, own.status.known()), (vm.id, Some(Status::Running)));

    let to = Transfer {
        to: "stranger".to_owned(),
    };
    owner.vm_transfer("web", &to).await.unwrap();
    expect(&cloud, "web.stranger", Status::Running).await;
    let given = rebuild(&stranger, "web", &by_digest, None).await;
    assert_eq!(
        given.reason.unwrap().code,
        "image_forbidden",
        "the password stayed behind"
    );
}

#[tokio::test]
async fn a_vm_goes_on_from_the_cache_when_its_registry_and_control_are_away() {
    let registry = Registry::start().await;
    let mut cloud = cloud().await;
    let [by_tag, _] = registry.references();
    ask(&cloud, "web", &by_tag, Some(right())).await;
    let vm = expect(&cloud, "web", Status::Running).await;
    drop(registry);
    cloud.end().await;
    let host = &mut cloud.hosts[0];
    host.end().await;
    host.sim.forget_everything();
    host.begin().await.unwrap();
    cloud.begin().await.unwrap();
    let again = expect(&cloud, "web", Status::Running).await;
    assert_eq!(again.image_digest, vm.image_digest);
}

#[tokio::test]
async fn a_password_is_on_no_disk_but_in_the_database() {
    let registry = Registry::start().await;
    let cloud = cloud().await;
    let [by_tag, _] = registry.references();
    let created = ask(&cloud, "web", &by_tag, Some(right())).await;
    let running = expect(&cloud, "web", Status::Running).await;
    assert!(!format!("{created:?} {running:?}").contains(CANARY));
    assert_eq!(holding(cloud.hosts[0].state()), Vec::<PathBuf>::new());
    let database = cloud.database();
    let kept = holding(database.parent().unwrap());
    let is_database = |path: &PathBuf| path.to_string_lossy().starts_with(&*database.to_string_lossy());
    assert!(!kept.is_empty() && kept.iter().all(is_database), "{kept:?}");
    remove(&cloud, "web").await;
}

/// The files below a directory that hold the password.
fn holding(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if fs::read(&path).is_ok_and(|content| has_canary(&content)) {
                found.push(path);
            }
        }
    }
    found
}

fn has_canary(content: &[u8]) -> bool {
    content
        .windows(CANARY.len())
        .any(|part| part == CANARY.as_bytes())
}
