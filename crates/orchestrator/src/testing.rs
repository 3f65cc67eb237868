//! Values that several tests of this room begin with.

use model::{ByteSize, Feature, HostId, InstallationId, Power, VmBody, VmId};
use wire::host::{HostPlan, VmPlan};

/// The id that tests give to the VM of that name.
pub(crate) fn id(name: &str) -> VmId {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    VmId::from_random(bytes)
}

/// A small VM that is asked to run.
pub(crate) fn body(name: &str) -> VmBody {
    VmBody {
        name: name.parse().unwrap(),
        image: "debian:12".parse().unwrap(),
        cpus: 1,
        memory: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(64),
        power: Power::On,
        boot: 1,
        rootfs: 1,
        authorized_keys: vec![],
        needs: [Feature::OCI_IMAGE].into(),
        options: model::VmOptions::default(),
        barred: [].into(),
        idle_after: None,
        registry_secret: None,
    }
}

/// A plan that asks for these VMs.
pub(crate) fn plan(number: u64, names: &[&str]) -> HostPlan {
    HostPlan {
        installation: InstallationId::from_random([1; 16]),
        host: HostId::from_random([9; 16]),
        number,
        vms: names
            .iter()
            .map(|name| VmPlan {
                id: id(name),
                placement: 1,
                generation: 1,
                remove: false,
                body: Some(body(name)),
                request: None,
            })
            .collect(),
    }
}
