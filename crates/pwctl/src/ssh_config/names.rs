//! By which names ssh knows VMs. Pure.
//!
//! `NAME.OWNER` always means the same VM. `NAME` means one's own, else the only one of that name, as the server takes it.

use api::Vm;

/// A VM, and the names that ssh knows it by.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) vm: Vm,
    pub(super) names: Vec<String>,
}

/// The name that means this VM to everybody.
pub(super) fn full_name(vm: &Vm) -> String {
    match vm.owner.as_str() {
        // A server of before tells no owners.
        "" => vm.name.clone(),
        owner => format!("{}.{owner}", vm.name),
    }
}

/// Whether a name is several owners', so that it takes who one is to tell whose VM it means.
pub(super) fn is_any_ambiguous(vms: &[Vm]) -> bool {
    vms.iter().any(|vm| is_anothers_too(vms, vm))
}

/// Each VM with its names, less those that are taken. One that is left without any is left out.
pub(super) fn named(vms: &[Vm], me: Option<&str>, is_taken: impl Fn(&str) -> bool) -> Vec<Named> {
    let names = |vm: &Vm| {
        let is_meant = me == Some(vm.owner.as_str()) || !is_anothers_too(vms, vm);
        let mut names: Vec<_> = is_meant.then(|| vm.name.clone()).into_iter().collect();
        names.push(full_name(vm));
        names.dedup();
        names.retain(|name| !is_taken(name));
        names
    };
    let named = vms.iter().map(|vm| Named {
        vm: vm.clone(),
        names: names(vm),
    });
    named.filter(|named| !named.names.is_empty()).collect()
}

fn is_anothers_too(vms: &[Vm], vm: &Vm) -> bool {
    vms.iter()
        .any(|other| other.name == vm.name && other.owner != vm.owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str, owner: &str) -> Vm {
        let vm = serde_json::json!({
            "id": "vm_00000000000000000000000000", "name": name, "owner": owner, "status": "RUNNING", "image": "i",
            "cpus": 1, "memory_bytes": 1, "disk_bytes": 1, "power": "on", "generation": 1,
            "created_at": "2026-11-22T09:00:00Z"
        });
        serde_json::from_value(vm).unwrap()
    }

    fn names(vms: &[Vm], me: Option<&str>) -> Vec<Vec<String>> {
        let named = named(vms, me, |name| name == "mine");
        named.into_iter().map(|named| named.names).collect()
    }

    #[test]
    fn a_name_alone_means_ones_own_or_the_only_one() {
        let vms = [vm("web", "ann"), vm("web", "ops"), vm("db", "ops")];
        assert!(is_any_ambiguous(&vms));
        assert_eq!(
            names(&vms, Some("ann")),
            [&["web", "web.ann"][..], &["web.ops"], &["db", "db.ops"]]
        );
        assert_eq!(
            names(&vms, None),
            [&["web.ann"][..], &["web.ops"], &["db", "db.ops"]]
        );
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        assert_eq!(names(&[vm("mine", "ann")], None), [["mine.ann"]]);
        assert_eq!(names(&[vm("db", "")], None), [["db"]]);
        assert!(names(&[vm("mine", "")], None).is_empty());
        assert!(!is_any_ambiguous(&[vm("web", "ann"), vm("web", "ann")]));
    }
}
