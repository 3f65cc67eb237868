//! Credentials of images: in no plan and nothing that is shown, and given to nobody but the host that needs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use model::{HostId, ProblemCode, RegistryCredentials, SecretRef, VmId};
use wire::secret::{SecretRefusal, SecretRequest};

use super::world::{World, request};
use crate::{CreateVm, VmView};

const CANARY: &str = "canary-p4ssword";

fn credentials() -> RegistryCredentials {
    RegistryCredentials {
        username: "canary-name".to_owned(),
        password: CANARY.to_owned(),
    }
}

fn private(name: &str) -> CreateVm {
    CreateVm {
        image: "registry.example/team/app:1".parse().unwrap(),
        registry_auth: Some(credentials()),
        ..request(name)
    }
}

async fn create_private(world: &World, name: &str) -> (VmView, SecretRef) {
    let vm = world
        .control
        .vm_create(&world.caller, private(name))
        .await
        .unwrap();
    let secret = vm.asked.body.registry_secret.unwrap();
    (vm, secret)
}

async fn ask(
    world: &World,
    host: HostId,
    vm: VmId,
    secret: SecretRef,
) -> Result<RegistryCredentials, SecretRefusal> {
    let request = SecretRequest { vm, secret };
    world.control.secret_find(host, request).await
}

#[tokio::test]
async fn only_the_host_of_a_vm_gets_its_secret_in_the_version_asked_for() {
    let (world, mut host) = World::with_host().await;
    let (vm, secret) = create_private(&world, "web").await;
    let (other, others) = create_private(&world, "db").await;
    let id = vm.asked.id;
    let plan = world.plan(host.id).await;
    let planned = plan.vms.iter().find(|planned| planned.id == id).unwrap();
    let named = planned.body.as_ref().unwrap().registry_secret;
    assert_eq!(named, Some(secret));

    assert_eq!(ask(&world, host.id, id, secret).await, Ok(credentials()));
    let stranger = HostId::from_random([99; 16]);
    let newer = SecretRef { version: 2, ..secret };
    for (host, vm, secret) in [
        (stranger, id, secret),
        (host.id, other.asked.id, secret),
        (host.id, id, others),
        (host.id, id, newer),
        (host.id, VmId::from_random([98; 16]), secret),
    ] {
        assert_eq!(ask(&world, host, vm, secret).await, Err(SecretRefusal::Unknown));
    }

    world.round(&mut host).await;
    world.control.vm_delete(&world.caller, &id.into()).await.unwrap();
    assert_eq!(
        ask(&world, host.id, id, secret).await,
        Err(SecretRefusal::Unknown),
        "one that goes needs no image"
    );
    world.round(&mut host).await;
    assert!(world.get(id).await.is_none());
    let mut read = world.control.inner.store.read().await.unwrap();
    assert_eq!(
        read.secret_fetch(id, secret).await.unwrap(),
        None,
        "it ends with its VM"
    );
    assert!(read.secret_fetch(other.asked.id, others).await.unwrap().is_some());
}

#[tokio::test]
async fn a_rebuild_from_another_repository_forgets_the_credentials() {
    let (world, mut host) = World::with_host().await;
    let (vm, secret) = create_private(&world, "web").await;
    let id = vm.asked.id;
    world.round(&mut host).await;
    let rebuild = async |image: &str| {
        let image = Some(image.parse().unwrap());
        let rebuilt = world.control.vm_rebuild(&world.caller, &id.into(), image).await;
        rebuilt.unwrap().asked.body.registry_secret
    };
    assert_eq!(rebuild("registry.example/team/app:2").await, Some(secret));
    assert_eq!(rebuild("evil.example/team/app:2").await, None);
    assert_eq!(
        ask(&world, host.id, id, secret).await,
        Err(SecretRefusal::Unknown)
    );
    assert_eq!(
        rebuild("registry.example/team/app:2").await,
        None,
        "they do not come back"
    );
}

#[tokio::test]
async fn a_secret_is_shown_and_written_nowhere_but_in_the_database() {
    let (world, mut host) = World::with_host().await;
    let refused = CreateVm {
        cpus: Some(1000),
        ..private("bad")
    };
    assert!(!format!("{refused:?}").contains("canary"));
    let refused = world.control.vm_create(&world.caller, refused).await.unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::InvalidValue);
    assert!(!format!("{refused:?}").contains("canary"));

    let (vm, _) = create_private(&world, "web").await;
    let plan = world.plan(host.id).await;
    assert!(!String::from_utf8_lossy(&plan.encode()).contains("canary"));
    world.round(&mut host).await;
    let seen = world.get(vm.asked.id).await.unwrap();
    assert!(!format!("{vm:?} {plan:?} {seen:?}").contains("canary"));
    let mut read = world.control.inner.store.read().await.unwrap();
    let events = read.event_list(0, Some(vm.asked.id), 1000).await.unwrap();
    assert!(!events.is_empty() && !format!("{events:?}").contains("canary"));

    let mut found = 0;
    for entry in fs::read_dir(world.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        if content
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes())
        {
            found += 1;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is for others to read", path.display());
        }
    }
    assert!(found > 0, "it is kept somewhere");
}
