//! What all these tests say: create, expect, remove, and that nothing is left.

use std::fs;

use api::{ClientError, CreateVm, Vm};
use model::{Status, VmId};
use testkit::{Cloud, SimHost, until};

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh somebody";

/// What is asked of a small VM.
pub(crate) fn wish(name: &str) -> CreateVm {
    CreateVm {
        name: name.to_owned(),
        image: "debian:12".to_owned(),
        keys: vec![KEY.to_owned()],
        ..CreateVm::default()
    }
}

/// Asks for a VM and does not wait.
pub(crate) async fn ask(cloud: &Cloud, name: &str) -> Vm {
    cloud.client().unwrap().vm_create(&wish(name)).await.unwrap()
}

/// Asks for a VM and lets its host finish.
pub(crate) async fn create(cloud: &Cloud, name: &str) -> Vm {
    ask(cloud, name).await;
    expect(cloud, name, Status::Running).await
}

/// Waits until the VM has this status and its host has finished with all that is asked.
pub(crate) async fn expect(cloud: &Cloud, name: &str, status: Status) -> Vm {
    let client = cloud.client().unwrap();
    let there = |vm: &Vm| {
        vm.status.known() == Some(status)
            && (status != Status::Running || vm.settled_generation == vm.generation)
    };
    until(&format!("{name} is {status}"), || client.vm_get(name), there)
        .await
        .unwrap()
}

/// Waits until the VM has this status and its host has finished with this generation.
pub(crate) async fn expect_settled(cloud: &Cloud, name: &str, status: Status, generation: u64) -> Vm {
    let client = cloud.client().unwrap();
    let there = |vm: &Vm| {
        vm.status.known() == Some(status)
            && (vm.generation, vm.settled_generation) == (generation, generation)
    };
    until(
        &format!("{name} is {status} as of generation {generation}"),
        || client.vm_get(name),
        there,
    )
    .await
    .unwrap()
}

/// Waits until the VM is an error for this reason.
pub(crate) async fn expect_error(cloud: &Cloud, name: &str, code: &str) -> Vm {
    let client = cloud.client().unwrap();
    let there = |vm: &Vm| {
        vm.status.known() == Some(Status::Error)
            && vm.reason.as_ref().is_some_and(|reason| reason.code == code)
    };
    until(
        &format!("{name} is an error: {code}"),
        || client.vm_get(name),
        there,
    )
    .await
    .unwrap()
}

pub(crate) async fn stop(cloud: &Cloud, name: &str) {
    cloud.client().unwrap().vm_stop(name).await.unwrap();
}

pub(crate) async fn start(cloud: &Cloud, name: &str) {
    cloud.client().unwrap().vm_start(name).await.unwrap();
}

/// Asks for the VM to go and waits until it is gone.
pub(crate) async fn remove(cloud: &Cloud, name: &str) {
    cloud.client().unwrap().vm_delete(name).await.unwrap();
    gone(cloud, name).await;
}

/// Waits until nobody knows the VM any more.
pub(crate) async fn gone(cloud: &Cloud, name: &str) {
    let client = cloud.client().unwrap();
    let look = || async {
        match client.vm_get(name).await {
            Err(error) if error.is_not_found() => Ok::<_, ClientError>(None),
            Err(error) => Err(error),
            Ok(vm) => Ok(Some(vm)),
        }
    };
    until(&format!("{name} is gone"), look, Option::is_none)
        .await
        .unwrap();
}

/// The host that a VM was placed on.
pub(crate) fn host_of<'a>(cloud: &'a Cloud, vm: &Vm) -> &'a SimHost {
    let name = vm.host.as_deref();
    cloud.hosts.iter().find(|host| Some(host.name()) == name).unwrap()
}

/// Everything on a host that a VM could leave behind.
pub(crate) fn traces(host: &SimHost) -> Vec<String> {
    let memory = host.state().join("host");
    let folders = fs::read_dir(memory.join("vms")).unwrap();
    let folders = folders.map(|entry| format!("folder {:?}", entry.unwrap().file_name()));
    let leases = fs::read_to_string(memory.join("leases.json")).unwrap_or_default();
    let leases = leases
        .lines()
        .filter(|line| line.contains(':'))
        .map(str::to_owned);
    let mut traces = host.sim.leftovers();
    traces.extend(host.hands.leftovers());
    traces.extend(folders);
    traces.extend(leases);
    traces
}

/// The file with what a host remembers of a VM.
pub(crate) fn record(host: &SimHost, vm: VmId) -> std::path::PathBuf {
    host.state().join("host/vms").join(vm.to_string()).join("vm.json")
}

/// Waits until something is true of the simulated host itself.
pub(crate) async fn until_true(what: &str, holds: impl Fn() -> bool) {
    let look = || std::future::ready(Ok::<_, ()>(holds()));
    until(what, look, |&held| held).await.unwrap();
}
