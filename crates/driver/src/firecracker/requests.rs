//! What Firecracker is asked before and by its start (its `firecracker.yaml`). Pure: the same machine in the same setup
//! gives the same requests.
//!
//! Everything is named as the jail names it. The metadata service is never configured, so a guest cannot reach it.

use std::path::Path;

use serde_json::{Value, json};

use super::jail;
use crate::{Disk, Kernel, MachineSpec, SpecFault};

/// The interrupts that Firecracker gives to virtio devices on x86-64: 5 to 23.
const DEVICES: usize = 19;

/// How many disks a machine may have: a network card, the control channel, the random number generator and the balloon
/// take one place each.
pub const MAX_DISKS: usize = DEVICES - 4;

/// The guest's address on its own virtio socket device; each device is a network of two, so all may have the same.
const GUEST_CID: u32 = 3;

/// Seconds between two readings of the guest's memory. Each wakes the guest for some ten microseconds.
const STATISTICS_INTERVAL: u16 = 60;

/// Kernel arguments of every guest, unless others are configured. A keyboard controller is there only to reset by; asking
/// it for its keyboard takes half a second. Devices need no bounce buffers.
const KERNEL_ARGUMENTS: &str = "reboot=k panic=-1 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce \
                                quiet loglevel=1 cryptomgr.notests";

/// Tells powerunit that this machine knows no power-off: a reset ends it.
const OFF_IS_RESET: &str = "pw.off=reset";

/// A request: `PUT` of a body to a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The path.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// What the requests depend on besides the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup<'a> {
    /// Kernel arguments instead of those for an ordinary kernel.
    pub kernel_arguments: Option<&'a str>,
    /// The processor that the guest sees, as `cpu-config` takes it; else the host's.
    pub cpu_template: Option<&'a Value>,
}

/// Refuses a machine that would not become what its spec says, and gives what it boots.
pub(super) fn check(spec: &MachineSpec) -> Result<&Kernel, SpecFault> {
    if spec.cpus == 0 || spec.memory.mib() == 0 {
        return Err(SpecFault::Nothing);
    }
    if spec.disks.len() > MAX_DISKS {
        return Err(SpecFault::TooManyDisks {
            disks: spec.disks.len(),
            limit: MAX_DISKS,
        });
    }
    if spec.owner == 0 {
        return Err(SpecFault::NoOwner);
    }
    spec.kernel.as_ref().ok_or(SpecFault::NoKernel)
}

/// The requests that make this machine and start it, in order.
pub fn requests(spec: &MachineSpec, kernel: &Kernel, setup: &Setup<'_>) -> Vec<Request> {
    let mut list = vec![put(
        "/machine-config",
        json!({ "vcpu_count": spec.cpus, "mem_size_mib": spec.memory.mib() }),
    )];
    list.extend(
        setup
            .cpu_template
            .map(|template| put("/cpu-config", template.clone())),
    );
    list.push(boot_source(spec, kernel, setup));
    list.extend(spec.disks.iter().enumerate().map(drive));
    if let Some(nic) = &spec.nic {
        let body = json!({ "iface_id": "net0", "host_dev_name": nic.tap, "guest_mac": nic.mac.to_string() });
        list.push(put("/network-interfaces/net0", body));
    }
    list.extend([
        put(
            "/vsock",
            json!({ "guest_cid": GUEST_CID, "uds_path": in_jail(jail::CONTROL) }),
        ),
        put("/entropy", json!({})),
        put(
            "/balloon",
            json!({ "amount_mib": 0, "deflate_on_oom": true, "stats_polling_interval_s": STATISTICS_INTERVAL }),
        ),
        // Not before, or it would tell of each of these requests; how it ends it tells at this level only.
        put("/logger", json!({ "level": "Info", "show_level": true })),
        put("/actions", json!({ "action_type": "InstanceStart" })),
    ]);
    list
}

fn put(path: impl Into<String>, body: Value) -> Request {
    Request {
        path: path.into(),
        body,
    }
}

fn boot_source(spec: &MachineSpec, kernel: &Kernel, setup: &Setup<'_>) -> Request {
    // A serial port costs boot time by the line, and a guest's loud kernel processor time of the host.
    let console = if spec.console {
        "console=ttyS0"
    } else {
        "8250.nr_uarts=0"
    };
    let words = [
        setup.kernel_arguments.unwrap_or(KERNEL_ARGUMENTS),
        console,
        OFF_IS_RESET,
    ];
    let words = words
        .into_iter()
        .chain(kernel.extra_args.iter().map(String::as_str));
    put(
        "/boot-source",
        json!({
            "kernel_image_path": in_jail(jail::KERNEL),
            "initrd_path": in_jail(jail::INITRAMFS),
            "boot_args": words.collect::<Vec<_>>().join(" "),
        }),
    )
}

/// Guests find their disks by order, so none is called the root device, which Firecracker would put first.
fn drive((number, disk): (usize, &Disk)) -> Request {
    let name = jail::disk(number);
    // What a guest flushes must be on the host's disk.
    let cache = if disk.read_only { "Unsafe" } else { "Writeback" };
    put(
        format!("/drives/{name}"),
        json!({
            "drive_id": name,
            "path_on_host": in_jail(&name),
            "is_root_device": false,
            "is_read_only": disk.read_only,
            "cache_type": cache,
        }),
    )
}

fn in_jail(name: &str) -> String {
    Path::new("/").join(name).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{golden, spec};

    fn rendered(spec: &MachineSpec, setup: &Setup<'_>) -> String {
        let kernel = check(spec).unwrap();
        let lines = requests(spec, kernel, setup)
            .into_iter()
            .map(|request| format!("PUT {} {}\n", request.path, request.body));
        lines.collect()
    }

    #[test]
    fn the_requests_are_those_of_the_golden_files() {
        golden("firecracker.txt", &rendered(&spec(), &Setup::default()));
        let template = json!({ "msr_modifiers": [] });
        let setup = Setup {
            kernel_arguments: Some("reboot=k panic=1 acpi=off"),
            cpu_template: Some(&template),
        };
        let with_console = MachineSpec {
            console: true,
            disks: Vec::new(),
            nic: None,
            ..spec()
        };
        golden("firecracker-configured.txt", &rendered(&with_console, &setup));
    }

    #[test]
    fn what_would_not_become_the_machine_is_refused() {
        assert!(check(&spec()).is_ok());
        let many = MachineSpec {
            disks: vec![spec().disks[0].clone(); MAX_DISKS + 1],
            ..spec()
        };
        let refusals = [
            (many, SpecFault::TooManyDisks { disks: 16, limit: 15 }),
            (MachineSpec { cpus: 0, ..spec() }, SpecFault::Nothing),
            (MachineSpec { owner: 0, ..spec() }, SpecFault::NoOwner),
            (
                MachineSpec {
                    kernel: None,
                    ..spec()
                },
                SpecFault::NoKernel,
            ),
        ];
        for (spec, fault) in refusals {
            assert_eq!(check(&spec), Err(fault));
        }
    }
}
