//! QEMU: a process per machine.
//!
//! ```text
//!   Qemu ─► slot per VM ─► Keeper ─── monitor, pidfd ───► qemu-system-x86_64    in a session of its own
//!                             │                              │    │    └─ virtio: disks, TAP, serial port, entropy
//!                             └─────► Folder ◄───────────────┘    └─ control channel ─► powerunit
//!                                     record, console, how it ended
//! ```
//!
//! The processor runs guests (KVM) where a functional probe shows that it really does; otherwise QEMU emulates one,
//! several times slower and with nothing else different.
//!
//! What always holds:
//!
//! * A VMM belongs to nobody: it has its own session, and neither the end of this process nor of its group reaches it.
//! * Which process a VM's VMM is, is on disk before `ensure` returns; if even that is lost, the process table tells.
//! * A VMM's end is seen by its pidfd, at once, whether or not it was started by this process.
//! * A slot's lock is held across each change of that machine, so two callers never start it twice.

mod command_line;
mod console;
mod folder;
mod judge;
mod keeper;
mod kvm;
mod process;
mod qmp;
mod start;
mod tsc;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::VmId;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

pub use command_line::{Environment, command_line};
use folder::Folder;
use keeper::Keeper;
use process::Process;
use tsc::Tsc;

use crate::{
    Abilities, Accelerator, Capabilities, Consoles, ControlStream, DiskNames, Driver, DriverError, Exit,
    MachineSpec, Needs, Observation, Recovered, Verdict,
};

/// A VMM that does not answer its monitor by then never will; a loaded host takes a second or two.
const START_LIMIT: Duration = Duration::from_secs(30);

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

type Slot = Arc<AsyncMutex<Option<Keeper>>>;

/// The driver.
pub struct Qemu {
    config: Config,
    tsc: Tsc,
    verdict: OnceCell<Verdict>,
    slots: Mutex<HashMap<VmId, Slot>>,
}

impl Qemu {
    /// A driver that knows of no machine yet.
    pub fn new(mut config: Config) -> Self {
        // VMMs work in another directory.
        if let Ok(absolute) = std::path::absolute(&config.runtime_dir) {
            config.runtime_dir = absolute;
        }
        Self {
            config,
            tsc: Tsc::begin(),
            verdict: OnceCell::new(),
            slots: Mutex::default(),
        }
    }

    fn folder(&self, id: VmId) -> Folder {
        Folder::new(&self.config.runtime_dir, id)
    }

    fn slot(&self, id: VmId) -> Slot {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .or_default()
            .clone()
    }

    /// Fills the slot with the machine's process, if there is one that nobody keeps yet.
    fn adopt(&self, id: VmId, slot: &mut Option<Keeper>) {
        if slot.is_some() {
            return;
        }
        let folder = self.folder(id);
        let process = match folder.record() {
            Some(record) => Process::adopt(record),
            None => Process::search(&folder),
        };
        *slot = process.map(|process| Keeper::take(process, folder));
    }

    /// Whose console this is, if it is one of ours.
    fn owner_of(&self, console: &Path) -> Option<VmId> {
        let folder = console.parent()?;
        if folder.parent()? != self.config.runtime_dir {
            return None;
        }
        folder.file_name()?.to_str()?.parse().ok()
    }

    /// Forgets a slot, unless somebody else waits for it.
    fn forget(&self, id: VmId, slot: &Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's; more can only come while the map is locked.
        if Arc::strong_count(slot) == 2 {
            slots.remove(&id);
        }
    }

    fn traces(&self, id: VmId) -> Observation {
        let folder = self.folder(id);
        if folder.exists() {
            Observation::Ended(folder.ending())
        } else {
            Observation::Absent
        }
    }
}

#[async_trait::async_trait]
impl Driver for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            needs: Needs {
                root_filesystem: true,
                tap: true,
                kernel: true,
            },
            abilities: Abilities {
                control_channel: true,
                console_log: true,
                console: Consoles::None,
                max_disks: command_line::MAX_DISKS,
                disk_names: DiskNames::Serial,
            },
        }
    }

    async fn probe(&self) -> Result<Verdict, DriverError> {
        self.verdict().await.cloned()
    }

    async fn ensure(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let slot = self.slot(spec.id);
        let mut slot = slot.lock().await;
        self.adopt(spec.id, &mut slot);
        if slot.as_ref().is_some_and(|keeper| keeper.exit().is_none()) {
            return Ok(());
        }
        *slot = None;
        self.start(spec, &mut slot).await
    }

    async fn observe(&self, id: VmId) -> Result<Observation, DriverError> {
        let slot = self.slot(id);
        let mut slot = slot.lock().await;
        self.adopt(id, &mut slot);
        Ok(match slot.as_ref() {
            Some(keeper) => match keeper.exit() {
                Some(exit) => Observation::Ended(exit),
                None => Observation::Running {
                    pid: Some(keeper.pid()),
                },
            },
            None => self.traces(id),
        })
    }

    async fn wait_ended(&self, id: VmId) -> Exit {
        let slot = self.slot(id);
        let state = {
            let mut slot = slot.lock().await;
            self.adopt(id, &mut slot);
            slot.as_ref().map(Keeper::state)
        };
        match state {
            Some(mut state) => keeper::ended(&mut state).await,
            None => self.folder(id).ending(),
        }
    }

    async fn control(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        if !matches!(self.observe(id).await?, Observation::Running { .. }) {
            return Err(DriverError::NotRunning(id));
        }
        let stream = tokio::net::UnixStream::connect(self.folder(id).control()).await;
        Ok(Box::new(
            stream.map_err(|source| DriverError::Control { id, source })?,
        ))
    }

    async fn stop(&self, id: VmId, grace: Duration) -> Result<(), DriverError> {
        let slot = self.slot(id);
        let mut slot = slot.lock().await;
        self.adopt(id, &mut slot);
        match slot.as_ref().filter(|keeper| keeper.exit().is_none()) {
            Some(keeper) => keeper.end(grace).await,
            None => Ok(()),
        }
    }

    async fn destroy(&self, id: VmId) -> Result<(), DriverError> {
        let shared = self.slot(id);
        let mut slot = shared.lock().await;
        self.adopt(id, &mut slot);
        if let Some(keeper) = slot.as_ref().filter(|keeper| keeper.exit().is_none()) {
            keeper.end(Duration::ZERO).await?;
        }
        *slot = None;
        // A damaged record may name another process, or none: the process table has the last word.
        let folder = self.folder(id);
        if let Some(stray) = Process::search(&folder) {
            Keeper::take(stray, folder.clone()).end(Duration::ZERO).await?;
        }
        folder.remove()?;
        drop(slot);
        self.forget(id, &shared);
        Ok(())
    }

    async fn recover(&self) -> Result<Vec<Recovered>, DriverError> {
        let mut ids: BTreeSet<VmId> = folder::all(&self.config.runtime_dir)?
            .into_iter()
            .map(|folder| folder.id)
            .collect();
        ids.extend(
            process::consoles()
                .iter()
                .filter_map(|console| self.owner_of(console)),
        );
        let mut found = Vec::new();
        for id in ids {
            match self.observe(id).await? {
                Observation::Absent => {}
                observation @ (Observation::Running { .. } | Observation::Ended(_)) => {
                    found.push(Recovered { id, observation })
                }
            }
        }
        Ok(found)
    }

    async fn console(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        Err(DriverError::NoConsole(id))
    }

    async fn console_tail(&self, id: VmId) -> String {
        console::tail(&self.folder(id))
    }

    async fn tend(&self) {
        let folders = match folder::all(&self.config.runtime_dir) {
            Ok(folders) => folders,
            Err(error) => return tracing::warn!(%error, "the machines' logs could not be looked after"),
        };
        for folder in folders {
            if let Err(error) = console::bound(&folder) {
                tracing::warn!(vm.id = %folder.id, %error, "a machine's console could not be cut");
            }
        }
    }
}
