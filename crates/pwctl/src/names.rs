//! How VMs are called in what pwctl prints and writes. Pure.
//!
//! `NAME.OWNER` always means the same VM. `NAME` means one's own, else the only one of that name, as the server takes it.

use std::collections::{BTreeMap, BTreeSet};

use api::Vm;

/// The name that means this VM to everybody.
pub(crate) fn full_name(vm: &Vm) -> String {
    match vm.owner.as_str() {
        // A server of before tells no owners.
        "" => vm.name.clone(),
        owner => format!("{}.{owner}", vm.name),
    }
}

/// Those names among these VMs that are several owners'.
pub(crate) fn ambiguous(vms: &[Vm]) -> BTreeSet<&str> {
    let mut owners = BTreeMap::<&str, &str>::new();
    let mut several = BTreeSet::new();
    for vm in vms {
        let first = owners.entry(&vm.name).or_insert(&vm.owner);
        if *first != vm.owner.as_str() {
            several.insert(vm.name.as_str());
        }
    }
    several
}

/// What each of these VMs is called: `NAME`, and `NAME.OWNER` where that is several owners'.
pub(crate) fn short_names(vms: &[Vm]) -> Vec<String> {
    let several = ambiguous(vms);
    let name = |vm: &Vm| match several.contains(vm.name.as_str()) {
        true => full_name(vm),
        false => vm.name.clone(),
    };
    vms.iter().map(name).collect()
}

#[cfg(test)]
pub(crate) fn vm(name: &str, owner: &str) -> Vm {
    let vm = serde_json::json!({
        "id": "vm_00000000000000000000000000", "name": name, "owner": owner, "status": "RUNNING", "image": "i",
        "cpus": 1, "memory_bytes": 1, "disk_bytes": 1, "power": "on", "generation": 1,
        "created_at": "2026-11-22T09:00:00Z"
    });
    serde_json::from_value(vm).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_several_owners_is_told_whole() {
        let vms = [vm("web", "ann"), vm("db", "ops"), vm("web", "ops"), vm("old", "")];
        assert_eq!(short_names(&vms), ["web.ann", "db", "web.ops", "old"]);
        assert!(ambiguous(&[vm("web", "ann"), vm("web", "ann")]).is_empty());
    }
}
