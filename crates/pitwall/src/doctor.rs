//! What this host can do, what is missing, and the command that mends it.
//!
//! Each finding is one line: whether it is well, what was found, and what to do where it is not. The doctor changes
//! nothing and needs no root, though some things can only be seen with it.

use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use driver::Accelerator;
use nix::sys::statvfs::FsFlags;

use crate::config::{Settings, Vmm};
use crate::roles::RoleError;
use crate::{log, parts, vmm};

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
struct Finding {
    /// What was looked at.
    what: &'static str,
    /// Whether VMs can run with it as it is.
    ok: bool,
    /// What was found.
    found: String,
    /// The command or change that mends it.
    mend: Option<String>,
}

/// Everything found, as `--json` prints it.
#[derive(Debug, serde::Serialize)]
struct Report {
    ok: bool,
    version: &'static str,
    /// What executes guest instructions and why, in a sentence.
    acceleration: String,
    findings: Vec<Finding>,
}

/// Looks at everything and prints it. Fails where VMs cannot run.
pub(crate) async fn run(settings: &Settings, json: bool) -> Result<ExitCode, RoleError> {
    let (acceleration, hypervisor) = hypervisor(settings).await;
    let mut findings = vec![root()];
    findings.extend(hypervisor);
    findings.push(bundle(settings));
    findings.extend(PROGRAMS.iter().map(program));
    findings.extend([
        tun(),
        network(settings),
        resolvers(settings),
        disk(settings),
        api(settings),
    ]);
    let report = Report {
        ok: findings.iter().all(|finding| finding.ok),
        version: env!("CARGO_PKG_VERSION"),
        acceleration,
        findings,
    };
    if json {
        log::say(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print(&report);
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &Report) {
    log::say(&format!("VMs run with {}", report.acceleration));
    for finding in &report.findings {
        let mark = if finding.ok { "ok     " } else { "missing" };
        log::say(&format!("{mark}  {:<12} {}", finding.what, finding.found));
        if let Some(mend) = &finding.mend {
            log::say(&format!("         {:<12} -> {mend}", ""));
        }
    }
}

fn well(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        what,
        ok: true,
        found: found.into(),
        mend: None,
    }
}

fn missing(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        what,
        ok: false,
        found: found.into(),
        mend: Some(mend.into()),
    }
}

fn note(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        what,
        ok: true,
        found: found.into(),
        mend: Some(mend.into()),
    }
}

fn root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        well("root", "yes")
    } else {
        missing("root", "this is not root, so no VM can be made", "sudo pitwall …")
    }
}

/// How VMs run, in a sentence, and what is to be said of it.
async fn hypervisor(settings: &Settings) -> (String, Vec<Finding>) {
    let chosen = match vmm::preferred(settings).await {
        Ok((chosen, _)) => chosen,
        Err(error) => return ("nothing yet".to_owned(), vec![no_hypervisor(settings, &error)]),
    };
    let verdict = chosen.verdict;
    let (how, finding) = match verdict.accelerator {
        Accelerator::Hardware => ("hardware virtualisation", well("hypervisor", verdict.vmm)),
        Accelerator::Software => (
            "software emulation",
            note(
                "hypervisor",
                verdict.vmm,
                "all works, several times slower; take a machine whose /dev/kvm runs guests for speed",
            ),
        ),
    };
    let mut findings = vec![finding];
    match chosen.not_firecracker {
        Some(why) => findings.push(note("firecracker", why, install_firecracker(settings))),
        None if chosen.driver.name() == "firecracker" => findings.push(jails(settings)),
        None => {}
    }
    (format!("{how}: {}", verdict.why), findings)
}

fn no_hypervisor(settings: &Settings, error: &RoleError) -> Finding {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let mend = match settings.host.driver {
        Vmm::Firecracker => install_firecracker(settings),
        Vmm::Auto | Vmm::Qemu => "apt-get install --no-install-recommends qemu-system-x86".to_owned(),
    };
    missing("hypervisor", cause.unwrap_or_else(|| error.to_string()), mend)
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
    let place = jails
        .ancestors()
        .find(|place| place.exists())
        .unwrap_or(Path::new("/"));
    let flags = nix::sys::statvfs::statvfs(place).map(|disk| disk.flags());
    let hostile = FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
    if flags.is_ok_and(|flags| flags.intersects(hostile)) {
        missing(
            "jails",
            format!("{} is mounted without devices or programs", place.display()),
            "another place with --state, or mount it without nodev and noexec",
        )
    } else {
        well("jails", jails.display().to_string())
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
            missing(
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
    package: &'static str,
    purpose: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "nft",
        package: "nftables",
        purpose: "the VMs' firewall",
    },
    Program {
        name: "mke2fs",
        package: "e2fsprogs",
        purpose: "the VMs' disks",
    },
    Program {
        name: "ssh",
        package: "openssh-client",
        purpose: "signing in to VMs",
    },
];

fn program(program: &Program) -> Finding {
    match vmm::find(Path::new(program.name)) {
        Some(file) => well(program.name, file.display().to_string()),
        None => missing(
            program.name,
            format!("not found; it is needed for {}", program.purpose),
            format!("apt-get install --no-install-recommends {}", program.package),
        ),
    }
}

fn tun() -> Finding {
    if Path::new("/dev/net/tun").exists() {
        well("tun", "/dev/net/tun")
    } else {
        missing("tun", "/dev/net/tun is not there", "modprobe tun")
    }
}

fn network(settings: &Settings) -> Finding {
    let bridge = Path::new("/sys/class/net").join(&settings.bridge);
    if bridge.exists() {
        well(
            "network",
            format!("{} is there, for {}", settings.bridge, settings.subnet),
        )
    } else {
        let found = format!(
            "{} is not there yet; pitwall up makes it, for {}",
            settings.bridge, settings.subnet
        );
        note("network", found, "pitwall orchestrator --setup")
    }
}

fn resolvers(settings: &Settings) -> Finding {
    match orchestrator::network::resolvers(&settings.resolvers) {
        found if found.is_empty() => note(
            "resolvers",
            "this host has no name server that VMs could use, so names do not resolve in them",
            "pitwall up --resolver ADDRESS",
        ),
        found => well(
            "resolvers",
            found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        ),
    }
}

/// Below this, the next image may not fit.
const LITTLE_DISK: u64 = 2 << 30;

fn disk(settings: &Settings) -> Finding {
    let place = settings
        .state
        .ancestors()
        .find(|place| place.exists())
        .unwrap_or(Path::new("/"));
    match nix::sys::statvfs::statvfs(place) {
        Ok(disk) => {
            let free = disk.blocks_available() * disk.fragment_size();
            let found = format!("{} MiB free for {}", free >> 20, settings.state.display());
            if free < LITTLE_DISK {
                missing("disk", found, "free space, or choose another place with --state")
            } else {
                well("disk", found)
            }
        }
        Err(error) => missing(
            "disk",
            format!("{} cannot be looked at: {error}", place.display()),
            "--state DIR",
        ),
    }
}

fn api(settings: &Settings) -> Finding {
    if TcpStream::connect_timeout(&settings.listen, Duration::from_secs(1)).is_ok() {
        well("api", format!("answers on {}", settings.listen))
    } else {
        note(
            "api",
            format!("nothing listens on {}; pitwall is not up", settings.listen),
            "make up, or pitwall up",
        )
    }
}
