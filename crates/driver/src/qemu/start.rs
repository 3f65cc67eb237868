//! The start of a machine: folder, sockets, console, control groups, process, record.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command_line::{self, Environment, TRANSLATED_MIB, command_line};
use super::{CONTROL, MONITOR, QemuVmm, tap};
use crate::cgroup::{self, Limits};
use crate::confine::{self, Confinement, Rights, Root};
use crate::folder::Folder;
use crate::launch::{self, Launch};
use crate::process::Process;
use crate::{Accelerator, DriverError, MachineSpec, Nic, seat};

/// The directory that a VMM's root is mounted on.
const ROOT: &str = "root";

/// What a VMM needs of the host besides its machine: libraries, and its own firmware. No program is among it but its own.
const SHARED: [&str; 4] = ["lib", "lib64", "share/qemu", "share/seabios"];
const SYSTEM: [&str; 3] = ["/lib", "/lib64", "/etc/ld.so.cache"];

const KVM: &str = "/dev/kvm";

/// What a VMM and the host's kernel need besides the guest's memory: its own, page tables, and the pages of disks it is
/// writing.
const OVERHEAD_MIB: u64 = 160;

/// Threads of a VMM besides those of the guest's processors: its main loops, and up to 64 for disks.
const OWN_THREADS: u32 = 80;

/// The smallest limit of a file: the logs must fit.
const SMALLEST_FILE: u64 = 64 << 20;

impl QemuVmm {
    pub(super) fn execute(
        &self,
        spec: &MachineSpec,
        folder: &Folder,
        accelerator: Accelerator,
        tsc_khz: u64,
    ) -> Result<Process, DriverError> {
        let refused = |source| DriverError::Spec { id: spec.id, source };
        command_line::check(spec).map_err(refused)?;
        folder.check_socket(MONITOR).map_err(refused)?;
        let program = program(&self.config.binary)?;
        folder.create()?;
        let sockets = [listen(folder.file(MONITOR))?, listen(folder.file(CONTROL))?];
        let [monitor, control] = launch::numbers(&sockets);
        let tap = spec
            .nic
            .as_ref()
            .map(|nic: &Nic| tap::open(&nic.tap))
            .transpose()?;
        let environment = Environment {
            accelerator,
            monitor,
            control,
            tap: tap.as_ref().map(std::os::fd::AsRawFd::as_raw_fd),
            tsc_khz,
        };
        let mut command = Command::new(&program);
        command.args(command_line(spec, &environment)).env_clear();
        let launch = Launch {
            output: folder.console(),
            input: Some(seat::make_input(folder)?),
            keep: kept(sockets, tap),
            confinement: Some(confinement(spec, folder, &program, accelerator)?),
            groups: cgroup::join(spec.id, &limits(spec, accelerator)),
            ..Launch::new(command, folder.vmm_log())
        };
        launch.record_in(folder)
    }
}

/// The program behind any links. `PATH` is ours, which the process will not have.
fn program(binary: &Path) -> Result<PathBuf, DriverError> {
    let found = if binary.components().count() > 1 {
        binary.canonicalize()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|directory| directory.join(binary));
        let found = places.find(|place| place.is_file());
        found
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
            .and_then(|place| place.canonicalize())
    };
    found.map_err(|source| DriverError::Execute {
        binary: binary.to_owned(),
        source,
    })
}

fn kept(sockets: [UnixListener; 2], tap: Option<File>) -> Vec<OwnedFd> {
    let sockets = sockets.into_iter().map(OwnedFd::from);
    sockets.chain(tap.map(OwnedFd::from)).collect()
}

/// The machine's own disks become the owner's, whoever had them before.
fn confinement(
    spec: &MachineSpec,
    folder: &Folder,
    program: &Path,
    accelerator: Accelerator,
) -> Result<Confinement, DriverError> {
    let mut root = Root {
        place: folder.file(ROOT),
        read_only: programs_files(program),
        ..Root::default()
    };
    if let Some(kernel) = &spec.kernel {
        root.read_only
            .extend([&kernel.vmlinux, &kernel.initramfs].map(PathBuf::from));
    }
    for disk in &spec.disks {
        if disk.read_only {
            root.read_only.push(disk.path.clone());
        } else {
            confine::give_away(&disk.path, spec.owner)?;
            root.writable.push(disk.path.clone());
        }
    }
    if accelerator == Accelerator::Hardware {
        root.devices.push(KVM.into());
    }
    folder.make(ROOT)?;
    let rights = Rights {
        owner: spec.owner,
        largest_file: largest_file(spec),
    };
    Ok(Confinement { root, rights })
}

fn programs_files(program: &Path) -> Vec<PathBuf> {
    let prefix = program.parent().and_then(Path::parent);
    let prefixes = prefix.into_iter().chain([Path::new("/usr")]);
    let shared = prefixes.flat_map(|prefix| SHARED.map(|name| prefix.join(name)));
    let mut files: Vec<_> = shared.chain(SYSTEM.map(PathBuf::from)).collect();
    files.push(program.to_owned());
    files.dedup();
    files
}

fn limits(spec: &MachineSpec, accelerator: Accelerator) -> Limits {
    let translated = match accelerator {
        Accelerator::Hardware => 0,
        Accelerator::Software => TRANSLATED_MIB,
    };
    Limits {
        memory: (spec.memory.mib() + spec.memory.mib() / 32 + OVERHEAD_MIB + translated) << 20,
        processes: spec.cpus.saturating_add(OWN_THREADS),
        // The guest's processors, and one for the devices' work.
        cpus: spec.cpus.saturating_add(1),
    }
}

/// A disk is as long as it can become.
fn largest_file(spec: &MachineSpec) -> u64 {
    let disks = spec.disks.iter().filter(|disk| !disk.read_only);
    let lengths = disks.filter_map(|disk| disk.path.metadata().ok());
    lengths
        .map(|metadata| metadata.len())
        .fold(SMALLEST_FILE, u64::max)
}

fn listen(path: PathBuf) -> Result<UnixListener, DriverError> {
    UnixListener::bind(&path).map_err(|source| DriverError::Folder {
        operation: "listen on",
        path,
        source,
    })
}
