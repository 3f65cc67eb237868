//! By which names ssh knows VMs. Pure.

use std::collections::BTreeSet;

use api::{Vm, VmName};

use crate::names::{ambiguous, full_name};

/// A VM, and the names that ssh knows it by.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) vm: Vm,
    pub(super) names: Vec<String>,
}

/// Whether a name is several owners', so that it takes who one is to tell whose VM it means.
pub(super) fn is_any_ambiguous(vms: &[Vm]) -> bool {
    !ambiguous(vms).is_empty()
}

/// Each VM with its names, less those that are taken. One that is left without any is left out, and so is one whose name
/// could be more to ssh than a name: what a server says is not trusted that far.
pub(super) fn named(vms: &[Vm], me: Option<&str>, is_taken: impl Fn(&str) -> bool) -> Vec<Named> {
    let several = ambiguous(vms);
    let names = |vm: &Vm| names(vm, me, &several).filter(|name| !is_taken(name)).collect();
    let named = vms.iter().filter(|vm| is_plain(vm)).map(|vm| Named {
        vm: vm.clone(),
        names: names(vm),
    });
    named.filter(|named| !named.names.is_empty()).collect()
}

fn names(vm: &Vm, me: Option<&str>, several: &BTreeSet<&str>) -> impl Iterator<Item = String> {
    let is_meant = me == Some(vm.owner.as_str()) || !several.contains(vm.name.as_str());
    let short = is_meant.then(|| vm.name.clone());
    let full = Some(full_name(vm)).filter(|full| short.as_ref() != Some(full));
    short.into_iter().chain(full)
}

/// Whether name and owner are DNS labels, as all names are.
fn is_plain(vm: &Vm) -> bool {
    let is_label = |text: &str| text.parse::<VmName>().is_ok();
    is_label(&vm.name) && (vm.owner.is_empty() || is_label(&vm.owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::vm;

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
    }

    #[test]
    fn what_ssh_could_take_for_more_than_a_name_is_left_out() {
        for (name, owner) in [
            ("x\n    ProxyCommand sh", "ann"),
            ("*", "ann"),
            ("web *", "ann"),
            ("!web", "ann"),
            ("web", "ann\nHost *"),
            ("web", "*"),
            ("", "ann"),
        ] {
            assert!(names(&[vm(name, owner)], None).is_empty(), "{name:?} {owner:?}");
        }
    }
}
