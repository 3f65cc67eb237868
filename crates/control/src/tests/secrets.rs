//! Credentials of images: in no plan and nothing that is shown, and given to nobody but the host that needs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use model::{Feature, HostId, ProblemCode, RegistryCredentials, Right, SecretRef, VmId};
use wire::secret::{SecretRefusal, SecretRequest};

use super::people::who;
use super::world::{World, request};
use crate::{Caller, CreateVm, RebuildVm, VmView};

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

/// Makes a VM anew, and says under which name its credentials are kept then.
async fn rebuild(world: &World, by: &Caller, vm: VmId, image: &str, auth: bool) -> Option<SecretRef> {
    let wish = RebuildVm {
        image: Some(image.parse().unwrap()),
        registry_auth: auth.then(credentials),
    };
    let vm = world.control.vm_rebuild(by, &vm.into(), wish).await.unwrap();
    let body = vm.asked.body;
    assert_eq!(
        body.needs.contains(&Feature::REGISTRY_SECRET),
        body.registry_secret.is_some()
    );
    body.registry_secret
}

async fn is_kept(world: &World, vm: VmId, secret: SecretRef) -> bool {
    let mut read = world.control.inner.store.read().await.unwrap();
    read.secret_fetch(vm, secret).await.unwrap().is_some()
}

#[tokio::test]
async fn a_rebuild_from_another_repository_forgets_the_credentials() {
    let (world, mut host) = World::with_host().await;
    let (vm, secret) = create_private(&world, "web").await;
    let id = vm.asked.id;
    world.round(&mut host).await;
    let rebuild = async |image: &str| rebuild(&world, &world.caller, id, image, false).await;
    assert_eq!(rebuild("registry.example/team/app:2").await, Some(secret));
    assert_eq!(rebuild("evil.example/team/app:2").await, None);
    assert_eq!(
        ask(&world, host.id, id, secret).await,
        Err(SecretRefusal::Unknown)
    );
    assert!(!is_kept(&world, id, secret).await, "nothing names it any more");
    assert_eq!(
        rebuild("registry.example/team/app:2").await,
        None,
        "they do not come back"
    );
}

#[tokio::test]
async fn a_manager_reads_no_other_image_with_the_owners_credentials() {
    let (world, host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let (vm, secret) = create_private(&world, "web").await;
    let id = vm.asked.id;
    world.share(id, &ann, Right::Manage).await;
    let same = "registry.example/team/app:1";
    assert_eq!(rebuild(&world, &ann, id, same, false).await, Some(secret));
    assert_eq!(
        rebuild(&world, &ann, id, "registry.example/team/app:2", false).await,
        None
    );
    assert!(!is_kept(&world, id, secret).await);

    let given = rebuild(&world, &ann, id, "registry.example/team/app:2", true)
        .await
        .unwrap();
    assert_eq!(ask(&world, host.id, id, given).await, Ok(credentials()));
    let further = rebuild(&world, &ann, id, "registry.example/team/app:3", false).await;
    assert_eq!(further, Some(given), "they are hers");
    let owners = rebuild(&world, &world.caller, id, "registry.example/team/app:4", false).await;
    assert_eq!(owners, None, "and nobody else's, the owner's neither");
}

#[tokio::test]
async fn new_credentials_take_the_place_of_those_before() {
    let (world, host) = World::with_host().await;
    let (vm, first) = create_private(&world, "web").await;
    let id = vm.asked.id;
    let second = rebuild(&world, &world.caller, id, "other.example/app", true).await;
    let expected = SecretRef { version: 2, ..first };
    assert_eq!(second, Some(expected));
    assert_eq!(ask(&world, host.id, id, first).await, Err(SecretRefusal::Unknown));
    assert_eq!(ask(&world, host.id, id, expected).await, Ok(credentials()));

    let wish = RebuildVm {
        image: Some("oci:/images/app".parse().unwrap()),
        registry_auth: Some(credentials()),
    };
    let refused = world.control.vm_rebuild(&world.caller, &id.into(), wish).await;
    let refused = refused.unwrap_err().problem;
    assert_eq!(refused.pointer.as_deref(), Some("/registry_auth"));
    assert!(
        is_kept(&world, id, expected).await,
        "what is refused changes nothing"
    );
}

#[tokio::test]
async fn a_vm_given_away_leaves_its_credentials_behind() {
    let (world, host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let (vm, secret) = create_private(&world, "web").await;
    let id = vm.asked.id;
    let given = world
        .control
        .vm_transfer(&world.caller, &id.into(), &who(&ann))
        .await;
    let body = given.unwrap().asked.body;
    assert_eq!(body.registry_secret, None);
    assert!(!body.needs.contains(&Feature::REGISTRY_SECRET));
    assert!(!is_kept(&world, id, secret).await);
    assert_eq!(
        ask(&world, host.id, id, secret).await,
        Err(SecretRefusal::Unknown)
    );
    let own = rebuild(&world, &ann, id, "registry.example/team/app:1", true).await;
    assert!(own.is_some_and(|own| own.id != secret.id));
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
