//! The jailer's command line. Pure.
//!
//! The jailer makes a mount namespace whose root is the jail, the devices in it, sets the limits, becomes the owner, and
//! then executes Firecracker, whose system calls are filtered by its own default. The PID namespace and the control
//! groups are there before it runs ([`crate::launch`], [`crate::cgroup`]).

use std::ffi::OsString;
use std::path::Path;

use super::jail;
use crate::MachineSpec;

/// Open files: a connection over the control channel takes one, a disk one.
const OPEN_FILES: u64 = 2048;

/// What a command line depends on besides the machine.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// The VMM's program.
    pub firecracker: &'a Path,
    /// Where jails are.
    pub jails: &'a Path,
}

/// The arguments of the jailer for this machine, without the program itself. `largest_file`: bytes of the largest file
/// that the VMM may write, which is its largest writable disk.
pub fn arguments(spec: &MachineSpec, paths: &Paths<'_>, largest_file: u64) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut pair = |option: &str, value: OsString| words.extend([option.into(), value]);
    pair("--id", jail::name(spec.id).into());
    pair("--exec-file", paths.firecracker.into());
    pair("--uid", spec.owner.to_string().into());
    pair("--gid", spec.owner.to_string().into());
    pair("--chroot-base-dir", paths.jails.into());
    pair("--resource-limit", format!("no-file={OPEN_FILES}").into());
    pair("--resource-limit", format!("fsize={largest_file}").into());
    words.push("--".into());
    words.extend(["--api-sock".into(), Path::new("/").join(jail::API).into()]);
    // Until it is told otherwise.
    words.extend(["--level", "Warn"].map(OsString::from));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{golden, spec};

    #[test]
    fn the_words_are_those_of_the_golden_file() {
        let paths = Paths {
            firecracker: Path::new("/usr/local/bin/firecracker"),
            jails: Path::new("/var/lib/pitwall/jails"),
        };
        let mut text = String::new();
        for word in arguments(&spec(), &paths, 1 << 30) {
            let word = word.into_string().unwrap();
            let begins = word.starts_with("--") && !text.is_empty();
            text.push_str(if begins { "\n" } else { " " });
            text.push_str(&word);
        }
        golden("jailer.txt", &format!("{}\n", text.trim_start()));
    }
}
