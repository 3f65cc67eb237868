//! Firecracker: a process per machine, each in a jail of its own.
//!
//! ```text
//!   Firecracker ─► Machines ─► Keeper ── pidfd ──► jailer ══becomes══► firecracker
//!                     │           │                                    │  │   └─ virtio: disks, TAP, entropy, balloon
//!                     └► Folder   └──── API in the jail ───────────────┘  └─ virtio socket ─► powerunit
//!                     └► Jail, control groups
//! ```
//!
//! It needs a processor that runs guests: there is no emulation, and the probe is asked first.
//!
//! What always holds:
//!
//! * No VMM runs outside a jail: a user and group that nobody else has on this host, a root directory with its own
//!   machine's files and nothing else, a PID and a mount namespace, control groups, Firecracker's own system call filter.
//! * The guest's memory, kernel and processor are configured before its start and never after; the API in the jail is
//!   asked afterwards only whether the machine was started.
//! * A guest can end its machine in one way, a reset. Whether it meant a power-off its init says over the channel.

mod api;
mod jail;
mod jailer;
mod judge;
mod requests;
mod start;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use api::Api;
use jail::Jail;
pub use jailer::{Paths, arguments};
pub use requests::{MAX_DISKS, Request, Setup, requests};

use crate::folder::Folder;
use crate::keeper::Care;
use crate::machines::{Machines, NEEDS, Vmm};
use crate::process::{self, Process, Status};
use crate::{
    Abilities, Capabilities, Consoles, ControlStream, DiskNames, Driver, DriverError, Exit, MachineSpec,
    Observation, Recovered, Verdict, cgroup, console,
};

/// Between attempts to reach a guest that does not listen yet.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// For the answer of a VMM that was started by somebody else.
const ADOPTION_LIMIT: Duration = Duration::from_secs(2);

/// `OK `, ten digits, and the end of the line.
const LONGEST_GREETING: usize = 14;

/// How this driver is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The VMM's program. The jailer wants `firecracker` in its name.
    pub firecracker: PathBuf,
    /// The jailer's.
    pub jailer: PathBuf,
    /// Where machines have their run-time folders; best on a tmpfs.
    pub runtime_dir: PathBuf,
    /// Where jails are: on the file system of the disks, which allows devices and programs.
    pub jails: PathBuf,
    /// Where guests listen for the control channel.
    pub control_port: u32,
    /// Kernel arguments instead of those for an ordinary kernel.
    pub kernel_arguments: Option<String>,
    /// A file with the processor that guests see, in the form of Firecracker's `cpu-config`.
    pub cpu_template: Option<PathBuf>,
    /// Start machines also where the probe would say that the processor runs none.
    pub unprobed: bool,
}

/// The driver.
pub struct Firecracker {
    machines: Machines<FirecrackerVmm>,
}

impl Firecracker {
    /// A driver that knows of no machine yet.
    pub fn new(mut config: Config) -> Self {
        // VMMs work in another directory.
        for directory in [&mut config.runtime_dir, &mut config.jails] {
            if let Ok(absolute) = std::path::absolute(&*directory) {
                *directory = absolute;
            }
        }
        let runtime_dir = config.runtime_dir.clone();
        let vmm = FirecrackerVmm {
            config,
            verdict: OnceCell::new(),
        };
        Self {
            machines: Machines::new(vmm, runtime_dir),
        }
    }
}

/// What is particular about Firecracker.
struct FirecrackerVmm {
    config: Config,
    verdict: OnceCell<Verdict>,
}

impl FirecrackerVmm {
    fn jail(&self, id: VmId) -> Option<Jail> {
        let mut jails = jail::all(&self.config.jails).into_iter();
        jails.find_map(|(owner, jail)| (owner == id).then_some(jail))
    }

    /// Whether a process is the jailer or the VMM of this machine.
    fn is_of(&self, pid: u32, id: VmId, jail: Option<&Jail>) -> bool {
        let arguments = process::arguments(pid);
        let name = jail::name(id).into_bytes();
        let named = arguments
            .windows(2)
            .any(|pair| pair[0] == b"--id" && pair[1] == name);
        let jails = self.config.jails.as_os_str().as_encoded_bytes();
        let jailer = || arguments.iter().any(|argument| argument == jails);
        named && (jail.is_some_and(|jail| jail.is_root_of(pid)) || jailer())
    }

    /// One try to reach the guest; none if it does not listen, or the VMM does not.
    async fn dial(&self, jail: &Jail) -> io::Result<Option<UnixStream>> {
        let mut stream = jail.connect(jail::CONTROL).await?;
        let wanted = format!("CONNECT {}\n", self.config.control_port);
        stream.write_all(wanted.as_bytes()).await?;
        // Byte by byte, because what follows the line is the guest's.
        let mut line = Vec::with_capacity(LONGEST_GREETING);
        while line.len() < LONGEST_GREETING {
            match stream.read_u8().await {
                Ok(b'\n') => return Ok(line.starts_with(b"OK ").then_some(stream)),
                Ok(byte) => line.push(byte),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether the machine was started. A VMM that was left in the middle of its configuration never will be. It is asked
    /// only where nothing tells: a request that meets the guest's end leaves Firecracker 1.12 hanging, its threads waiting
    /// for each other.
    async fn was_started(&self, folder: &Folder) -> bool {
        if folder.is_started() {
            return true;
        }
        let Some(jail) = self.jail(folder.id) else {
            return true;
        };
        let asked = async {
            let stream = jail.connect(jail::API).await.ok()?;
            Api::new(stream).instance().await.ok()
        };
        let instance = tokio::time::timeout(ADOPTION_LIMIT, asked).await.ok().flatten();
        instance.is_none_or(|instance| instance.state != "Not started")
    }
}

/// How a machine ended whose process ended so.
fn exit(folder: &Folder, status: Status) -> Exit {
    let console_tail = console::tail(folder);
    // With a console, its VMM's own lines are among the guest's.
    let log = format!("{console_tail}\n{}", console::vmm_tail(folder));
    Exit {
        status: status.code,
        signal: status.signal,
        wish: judge::wish(status, &log),
        console_tail,
    }
}

#[async_trait::async_trait]
impl Vmm for FirecrackerVmm {
    async fn launch(&self, spec: &MachineSpec, folder: &Folder) -> Result<Process, DriverError> {
        self.execute(spec, folder).await
    }

    fn search(&self, folder: &Folder) -> Option<Process> {
        let jail = self.jail(folder.id);
        Process::search(|pid| self.is_of(pid, folder.id, jail.as_ref()))
    }

    fn elsewhere(&self) -> Vec<VmId> {
        let jails = jail::all(&self.config.jails).into_iter();
        jails.map(|(id, _)| id).collect()
    }

    async fn converse(&self, care: &mut Care) -> Infallible {
        // There is no polite way but the guest's own channel, which is not ours.
        care.quit.close();
        if self.was_started(&care.folder).await {
            care.runs();
        } else if let Err(error) = care.process.kill() {
            tracing::warn!(vm.id = %care.folder.id, %error, "a VMM that was never told what to run is still there");
        }
        std::future::pending().await
    }

    fn ending(&self, folder: &Folder, status: Status) -> Exit {
        exit(folder, status)
    }

    fn clean(&self, folder: &Folder) -> Result<(), DriverError> {
        for (_, jail) in jail::all(&self.config.jails)
            .into_iter()
            .filter(|(owner, _)| *owner == folder.id)
        {
            jail.remove()?;
        }
        cgroup::leave(folder.id)
    }
}

#[async_trait::async_trait]
impl Driver for Firecracker {
    fn name(&self) -> &'static str {
        "firecracker"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            needs: NEEDS,
            abilities: Abilities {
                control_channel: true,
                console_log: true,
                console: Consoles::OnRequest,
                max_disks: requests::MAX_DISKS,
                disk_names: DiskNames::Order,
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
        let mut pause = FIRST_PAUSE;
        loop {
            self.machines.runs(id).await?;
            let vmm = self.machines.vmm();
            let jail = vmm.jail(id).ok_or(DriverError::NotRunning(id))?;
            match vmm.dial(&jail).await {
                Ok(Some(stream)) => return Ok(Box::new(stream)),
                Ok(None) => {}
                Err(error) => {
                    tracing::trace!(vm.id = %id, %error, "the virtio socket device does not answer")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
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
