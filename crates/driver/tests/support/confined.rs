//! What holds for every VMM's process, whoever confines it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be read stops the test"
)]

use std::fs;
use std::path::PathBuf;

use driver::MachineSpec;

/// Panics unless the process is its machine's owner, without rights, and sees nothing of the host's in these namespaces.
pub(crate) fn assert_nobody(pid: u32, spec: &MachineSpec, namespaces: &[&str]) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .trim()
            .to_owned()
    };
    assert_eq!(field("NSpid:"), format!("{pid}\t1"), "it sees other processes");
    assert_eq!(field("Seccomp:"), "2", "its system calls are not filtered");
    assert_eq!(field("Groups:"), "");
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(name), "0000000000000000", "{name}");
    }
    for name in ["Uid:", "Gid:"] {
        let owned = |id: &str| id == spec.owner.to_string();
        assert!(field(name).split('\t').all(owned), "{status}");
    }
    let namespace = |process: &str, kind: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
    for kind in namespaces {
        let (theirs, ours) = (namespace(&pid.to_string(), kind), namespace("self", kind));
        assert_ne!(theirs, ours, "{kind}");
    }
}

/// Panics unless it is alone in its control groups, which let it have the guest's memory and so many bytes at most.
pub(crate) fn assert_limited(pid: u32, spec: &MachineSpec, groups: &[PathBuf], more: u64) {
    assert!(!groups.is_empty(), "it is in no control group");
    for group in groups {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(processes.trim(), pid.to_string());
        let files = ["memory.max", "memory.limit_in_bytes"].map(|file| fs::read_to_string(group.join(file)));
        let limit = files.into_iter().find_map(Result::ok).unwrap();
        let limit: u64 = limit.trim().parse().unwrap();
        assert!(limit < spec.memory.bytes() + more, "{limit}");
    }
}
