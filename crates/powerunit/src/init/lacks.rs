//! What a kernel was built without that people expect of a machine. It is said once, and the boot goes on.

use std::path::Path;

use super::kmsg;

/// Each with what is there in a kernel that has it (proc(5)).
const EXPECTED: [(&str, &str); 4] = [
    ("loadable modules", "/proc/modules"),
    ("netfilter", "/proc/net/netfilter"),
    ("IPv6", "/proc/net/if_inet6"),
    ("cgroups", "/proc/cgroups"),
];

/// Says it, if anything is missing.
pub(super) fn tell() {
    let missing: Vec<_> = missing(Path::new("/")).collect();
    if !missing.is_empty() {
        kmsg::note(&format!("this kernel has no {}", missing.join(", no ")));
    }
}

fn missing(root: &Path) -> impl Iterator<Item = &'static str> {
    EXPECTED
        .into_iter()
        .filter(move |(_, sign)| !root.join(sign.trim_start_matches('/')).exists())
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_sign_is_missing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/net")).unwrap();
        std::fs::write(root.path().join("proc/modules"), "").unwrap();
        std::fs::write(root.path().join("proc/cgroups"), "").unwrap();
        assert_eq!(missing(root.path()).collect::<Vec<_>>(), ["netfilter", "IPv6"]);
    }
}
