//! What runs VMs: the processor, the VMM, the guests' kernel, and the programs that pitwall calls.

use std::path::Path;
use std::process::{Command, Stdio};

use driver::Accelerator;
use nix::sys::statvfs::FsFlags;

use super::finding::{Finding, bad, note, well};
use crate::config::{Settings, Vmm};
use crate::roles::RoleError;
use crate::{parts, vmm};

/// How VMs run, in a sentence, and what is to be said of it.
pub(super) async fn look(settings: &Settings) -> (String, Vec<Finding>) {
    let (acceleration, mut findings) = hypervisor(settings).await;
    findings.push(cgroups(&driver::missing_controllers()));
    findings.push(bundle(settings));
    findings.extend(PROGRAMS.iter().map(program));
    (acceleration, findings)
}

async fn hypervisor(settings: &Settings) -> (String, Vec<Finding>) {
    let chosen = match vmm::preferred(settings).await {
        Ok((chosen, _)) => chosen,
        Err(error) => return ("nothing yet".to_owned(), vec![no_hypervisor(settings, &error)]),
    };
    let verdict = chosen.verdict;
    let how = match verdict.accelerator {
        Accelerator::Hardware => "hardware virtualisation",
        Accelerator::Software => "software emulation",
    };
    let mut findings = vec![
        kvm(verdict.accelerator, &verdict.why),
        well("hypervisor", verdict.vmm),
    ];
    match chosen.not_firecracker {
        Some(why) => findings.push(note("firecracker", why, install_firecracker(settings))),
        None if chosen.driver.name() == "firecracker" => findings.push(jails(settings)),
        None => {}
    }
    (format!("{how}: {}", verdict.why), findings)
}

/// Pure: what the probe's verdict means.
fn kvm(accelerator: Accelerator, why: &str) -> Finding {
    match accelerator {
        Accelerator::Hardware => well("kvm", why),
        Accelerator::Software => note(
            "kvm",
            why,
            "all works, several times slower; take a machine whose /dev/kvm runs guests for speed",
        ),
    }
}

fn no_hypervisor(settings: &Settings, error: &RoleError) -> Finding {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let mend = match settings.host.driver {
        Vmm::Firecracker => install_firecracker(settings),
        Vmm::Auto | Vmm::Qemu => "apt-get install --no-install-recommends qemu-system-x86".to_owned(),
    };
    bad("hypervisor", cause.unwrap_or_else(|| error.to_string()), mend)
}

/// What to do for Firecracker: get it, where it is not there, else get another machine.
fn install_firecracker(settings: &Settings) -> String {
    let own = &settings.firecracker;
    if [&own.binary, &own.jailer]
        .into_iter()
        .all(|program| vmm::find(program).is_some())
    {
        return "take a machine whose /dev/kvm runs guests; QEMU does the same, slower".to_owned();
    }
    "put firecracker and jailer of a release, https://github.com/firecracker-microvm/firecracker/releases, \
     into /usr/local/bin without the version in their names"
        .to_owned()
}

/// A jail holds devices and a program, which some file systems are mounted without.
fn jails(settings: &Settings) -> Finding {
    let jails = vmm::jails(settings);
    let place = super::nearest(&jails);
    let flags = nix::sys::statvfs::statvfs(place).map(|disk| disk.flags());
    let hostile = FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
    if flags.is_ok_and(|flags| flags.intersects(hostile)) {
        bad(
            "jails",
            format!("{} is mounted without devices or programs", place.display()),
            "another place with --state, or mount it without nodev and noexec",
        )
    } else {
        well("jails", jails.display().to_string())
    }
}

/// Pure: what keeps a VM from taking more of the host than is its own.
fn cgroups(missing: &[&str]) -> Finding {
    const WHAT: &str = "cgroups";
    match missing {
        [] => well(WHAT, "memory, processes and processors of VMs are limited"),
        missing => note(
            WHAT,
            format!(
                "this host has none for {}, so VMs run without those limits",
                missing.join(", ")
            ),
            "boot the host with cgroup_enable=memory and systemd.unified_cgroup_hierarchy=1 on the kernel's command line; \
             in a container, give it a cgroup namespace of its own",
        ),
    }
}

fn bundle(settings: &Settings) -> Finding {
    match parts::bundle(settings) {
        Some(files) => well("guest kernel", files.vmlinux.display().to_string()),
        None => {
            let places = parts::bundle_places(settings);
            let places = places
                .iter()
                .map(|place| place.display().to_string())
                .collect::<Vec<_>>()
                .join(", ");
            bad(
                "guest kernel",
                format!("there is none in {places}"),
                "make bundle, and --bundle target/bundle",
            )
        }
    }
}

/// A program, the Debian package it comes in, and what it is for.
struct Program {
    name: &'static str,
    /// The option that makes it tell its version.
    version: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "nft",
        version: "--version",
        package: "nftables",
        purpose: "the VMs' firewall",
    },
    Program {
        name: "mke2fs",
        version: "-V",
        package: "e2fsprogs",
        purpose: "the VMs' disks",
    },
    Program {
        name: "ssh",
        version: "-V",
        package: "openssh-client",
        purpose: "signing in to VMs",
    },
];

fn program(program: &Program) -> Finding {
    match vmm::find(Path::new(program.name)) {
        Some(file) => judge_program(program, &file, version(&file, program.version).as_deref()),
        None => bad(
            program.name,
            format!("not found; it is needed for {}", program.purpose),
            format!("apt-get install --no-install-recommends {}", program.package),
        ),
    }
}

/// Pure: what a program that is there says of itself.
fn judge_program(program: &Program, file: &Path, version: Option<&str>) -> Finding {
    match version {
        Some(version) => well(program.name, format!("{}, {version}", file.display())),
        None => bad(
            program.name,
            format!("{} does not tell its version", file.display()),
            format!("apt-get install --reinstall {}", program.package),
        ),
    }
}

/// The first line that it prints, to wherever.
fn version(file: &Path, option: &str) -> Option<String> {
    let told = Command::new(file)
        .arg(option)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [told.stdout, told.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    told.status.success().then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_well_where_it_tells_its_version() {
        let shell = Path::new("/bin/sh");
        assert_eq!(version(Path::new("/nonexistent"), "--version"), None);
        assert_eq!(version(shell, "-c exit 0"), None);
        let [nft, ..] = &PROGRAMS;
        let found = judge_program(nft, shell, Some("nftables v1.0.6"));
        assert_eq!(
            (found.ok, found.found.as_str()),
            (true, "/bin/sh, nftables v1.0.6")
        );
        let broken = judge_program(nft, shell, None);
        assert!(!broken.ok && broken.mend.is_some_and(|mend| mend.ends_with("nftables")));
    }

    #[test]
    fn a_host_without_control_groups_runs_vms_without_limits() {
        assert!(cgroups(&[]).mend.is_none());
        let found = cgroups(&["memory", "pids"]);
        assert!(found.ok && found.mend.is_some(), "{found:?}");
        assert!(found.found.contains("memory, pids"), "{found:?}");
    }
}
