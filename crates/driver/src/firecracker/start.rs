//! The start of a machine: folder, jail, control groups, process, and the requests that make it and start it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::FirecrackerVmm;
use super::api::Api;
use super::jail::{API, Jail};
use super::jailer::{self, Paths};
use super::requests::{self, Setup, requests};
use crate::cgroup::{self, Limits};
use crate::folder::Folder;
use crate::launch::Launch;
use crate::process::Process;
use crate::{ApiError, DriverError, Kernel, MachineSpec, console, seat};

/// What a VMM and the host's kernel need besides the guest's memory: its own, page tables, and the pages of disks it is
/// writing.
const OVERHEAD_MIB: u64 = 96;

/// Threads of a VMM besides those of the guest's processors.
const OWN_THREADS: u32 = 8;

/// The smallest limit of a file: the console's log must fit.
const SMALLEST_FILE: u64 = 64 << 20;

/// Between two looks for a socket that a fresh VMM makes.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl FirecrackerVmm {
    /// Starts the VMM and makes the machine. When it fails, the process has ended.
    pub(super) async fn execute(&self, spec: &MachineSpec, folder: &Folder) -> Result<Process, DriverError> {
        let refused = |source| DriverError::Spec { id: spec.id, source };
        let kernel = requests::check(spec).map_err(refused)?;
        self.verdict().await?;
        let firecracker = self.program()?;
        let template = self.cpu_template()?;
        let jail = Jail::new(&self.config.jails, &firecracker, spec.id);
        folder.create()?;
        jail.make(spec, kernel)?;
        let process = self.launch_jailer(spec, folder, &firecracker)?;
        let setup = Setup {
            kernel_arguments: self.config.kernel_arguments.as_deref(),
            cpu_template: template.as_ref(),
        };
        let failure = tokio::select! {
            biased;
            status = process.ended() => DriverError::DidNotStart {
                id: spec.id,
                exit: super::exit(folder, status),
                said: console::vmm_tail(folder),
            },
            made = make(&jail, spec, kernel, &setup) => match made {
                Ok(()) => match folder.write_started() {
                    Ok(()) => return Ok(process),
                    Err(error) => error,
                },
                Err(source) => DriverError::Api { id: spec.id, source },
            },
        };
        process.kill()?;
        process.ended().await;
        Err(failure)
    }

    fn launch_jailer(
        &self,
        spec: &MachineSpec,
        folder: &Folder,
        firecracker: &Path,
    ) -> Result<Process, DriverError> {
        let paths = Paths {
            firecracker,
            jails: &self.config.jails,
        };
        let mut command = Command::new(&self.config.jailer);
        command
            .args(jailer::arguments(spec, &paths, largest_file(spec)))
            .env_clear();
        let log = folder.vmm_log();
        let (output, input) = if spec.console {
            (folder.console(), Some(seat::make_input(folder)?))
        } else {
            (log.clone(), None)
        };
        let launch = Launch {
            output,
            input,
            groups: cgroup::join(spec.id, &limits(spec)),
            alone: true,
            ..Launch::new(command, log)
        };
        launch.record_in(folder)
    }

    /// The program behind any links, which is what the jailer calls the jail after.
    fn program(&self) -> Result<PathBuf, DriverError> {
        let binary = &self.config.firecracker;
        binary.canonicalize().map_err(|source| DriverError::Execute {
            binary: binary.clone(),
            source,
        })
    }

    fn cpu_template(&self) -> Result<Option<serde_json::Value>, DriverError> {
        let Some(path) = &self.config.cpu_template else {
            return Ok(None);
        };
        let read = std::fs::read(path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        read.map(Some).map_err(|source| DriverError::Folder {
            operation: "read the CPU template",
            path: path.clone(),
            source,
        })
    }
}

async fn make(jail: &Jail, spec: &MachineSpec, kernel: &Kernel, setup: &Setup<'_>) -> Result<(), ApiError> {
    let mut api = first_answer(jail).await?;
    for request in requests(spec, kernel, setup) {
        api.put(&request).await?;
    }
    Ok(())
}

/// Whoever waits for it sees by the process whether it will ever come, and gives up after a while.
async fn first_answer(jail: &Jail) -> Result<Api, ApiError> {
    let connected = async {
        loop {
            match jail.connect(API).await {
                Ok(stream) => return Api::new(stream),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    let limit = crate::machines::START_LIMIT;
    let connected = tokio::time::timeout(limit, connected).await;
    connected.map_err(|_| ApiError::TooSlow(limit))
}

fn limits(spec: &MachineSpec) -> Limits {
    Limits {
        memory: (spec.memory.mib() + OVERHEAD_MIB + spec.memory.mib() / 32) << 20,
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
