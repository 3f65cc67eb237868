//! QEMU: a process per machine.
//!
//! ```text
//!   Qemu ─► Machines ─► Keeper ─── monitor, pidfd ───► qemu-system-x86_64    in a session of its own, confined
//!                          │                              │    │    └─ virtio: disks, TAP, serial port, entropy
//!                          └─────► Folder ◄───────────────┘    └─ control channel ─► powerunit
//!                                  record, console, how it ended
//! ```
//!
//! The processor runs guests (KVM) where a functional probe shows that it really does; otherwise QEMU emulates one,
//! several times slower and with nothing else different.
//!
//! What always holds:
//!
//! * No QEMU starts unconfined: a user and group that nobody else has on this host, a root directory with its own
//!   machine's files and the libraries, namespaces without a network or another process, control groups, and QEMU's own
//!   system call filter.
//! * What needs rights (sockets, TAP, console) is opened before and inherited; nobody but root can reach it by a path.

mod command_line;
mod judge;
mod monitor;
mod qmp;
mod start;
mod tap;
mod tsc;
mod whose;

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use model::VmId;
use tokio::sync::OnceCell;

pub use command_line::{Environment, command_line};
use tsc::Tsc;

use crate::folder::Folder;
use crate::keeper::Care;
use crate::machines::{Machines, NEEDS, Vmm};
use crate::process::{Process, Status};
use crate::{
    Abilities, Accelerator, Capabilities, Consoles, ControlStream, DiskNames, Driver, DriverError, Exit,
    MachineSpec, Observation, Recovered, Verdict, cgroup, console,
};

/// The socket of the monitor.
const MONITOR: &str = "qmp.sock";

/// The socket of the control channel.
const CONTROL: &str = "ctl.sock";

/// Before a full queue of connections is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// How this driver is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The program, looked up in `PATH` if it is a bare name.
    pub binary: PathBuf,
    /// Where machines have their run-time folders; best on a tmpfs.
    pub runtime_dir: PathBuf,
    /// What executes guest instructions, instead of what the probe finds.
    pub accelerator: Option<Accelerator>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            binary: "qemu-system-x86_64".into(),
            runtime_dir: "/run/pitwall/vms".into(),
            accelerator: None,
        }
    }
}

/// The driver.
pub struct Qemu {
    machines: Machines<QemuVmm>,
}

impl Qemu {
    /// A driver that knows of no machine yet.
    pub fn new(mut config: Config) -> Self {
        // VMMs work in another directory.
        if let Ok(absolute) = std::path::absolute(&config.runtime_dir) {
            config.runtime_dir = absolute;
        }
        let runtime_dir = config.runtime_dir.clone();
        let vmm = QemuVmm {
            config,
            tsc: Tsc::begin(),
            verdict: OnceCell::new(),
        };
        Self {
            machines: Machines::new(vmm, runtime_dir),
        }
    }
}

/// What is particular about QEMU.
struct QemuVmm {
    config: Config,
    tsc: Tsc,
    verdict: OnceCell<Verdict>,
}

impl QemuVmm {
    /// Whose VMM a process is, if it is one of ours: it writes a console in the run-time directory.
    fn owner(&self, pid: u32) -> Option<VmId> {
        let console = whose::console(pid)?;
        let folder = console.parent()?;
        if folder.parent()? != self.config.runtime_dir {
            return None;
        }
        folder.file_name()?.to_str()?.parse().ok()
    }
}

#[async_trait::async_trait]
impl Vmm for QemuVmm {
    async fn launch(&self, spec: &MachineSpec, folder: &Folder) -> Result<Process, DriverError> {
        let accelerator = self.verdict().await?.accelerator;
        let tsc_khz = self.tsc.khz().await;
        self.execute(spec, folder, accelerator, tsc_khz)
    }

    fn search(&self, folder: &Folder) -> Option<Process> {
        Process::search(|pid| self.owner(pid) == Some(folder.id))
    }

    fn elsewhere(&self) -> Vec<VmId> {
        let processes = crate::process::all().into_iter();
        processes.filter_map(|pid| self.owner(pid)).collect()
    }

    async fn converse(&self, care: &mut Care) -> Infallible {
        monitor::converse(care).await
    }

    fn ending(&self, folder: &Folder, status: Status) -> Exit {
        Exit {
            status: status.code,
            signal: status.signal,
            wish: folder.wish(),
            console_tail: console::tail(folder),
        }
    }

    fn clean(&self, folder: &Folder) -> Result<(), DriverError> {
        cgroup::leave(folder.id)
    }
}

#[async_trait::async_trait]
impl Driver for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            needs: NEEDS,
            abilities: Abilities {
                control_channel: true,
                console_log: true,
                console: Consoles::Always,
                max_disks: command_line::MAX_DISKS,
                disk_names: DiskNames::Serial,
            },
        }
    }

    async fn probe(&self) -> Result<Verdict, DriverError> {
        self.machines.vmm().verdict().await.cloned()
    }

    async fn ensure(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.machines.ensure(spec).await
    }

    async fn observe(&self, id: VmId) -> Result<Observation, DriverError> {
        Ok(self.machines.observe(id).await)
    }

    async fn wait_ended(&self, id: VmId) -> Exit {
        self.machines.wait_ended(id).await
    }

    async fn control(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        let socket = self.machines.folder(id).file(CONTROL);
        loop {
            self.machines.runs(id).await?;
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(stream) => return Ok(Box::new(stream)),
                // Others are in the queue, and QEMU has not come to them yet.
                Err(source) if source.kind() == std::io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err(source) => return Err(DriverError::Control { id, source }),
            }
        }
    }

    async fn stop(&self, id: VmId, grace: Duration) -> Result<(), DriverError> {
        self.machines.stop(id, grace).await
    }

    async fn destroy(&self, id: VmId) -> Result<(), DriverError> {
        self.machines.destroy(id).await
    }

    async fn recover(&self) -> Result<Vec<Recovered>, DriverError> {
        self.machines.recover().await
    }

    async fn console(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        self.machines.console(id).await
    }

    async fn console_tail(&self, id: VmId) -> String {
        console::tail(&self.machines.folder(id))
    }

    async fn tend(&self) {
        self.machines.tend();
    }
}
