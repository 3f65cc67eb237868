//! Machines that are processes: what every adapter with a VMM per machine does alike.
//!
//! ```text
//!   adapter ─► Machines ─► slot per VM ─► Keeper ── pidfd ──► VMM      in a session of its own
//!                                            └────► Folder             record, console, how it ended
//! ```
//!
//! What always holds:
//!
//! * A VMM belongs to nobody: neither the end of this process nor of its group reaches it.
//! * Which process a VM's VMM is, is on disk before `ensure` returns; if even that is lost, the process table tells.
//! * A VMM's end is seen by its pidfd, at once, whether or not it was started by this process.
//! * A slot's lock is held across each change of that machine, so two callers never start it twice.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::VmId;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::folder::{self, Folder};
use crate::keeper::{self, Care, Keeper, State};
use crate::process::{Process, Status};
use crate::seat::Seat;
use crate::{ControlStream, DriverError, Exit, MachineSpec, Needs, Observation, Recovered, console};

/// A VMM that does not answer by then never will; a loaded host takes a second or two.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);

/// What has to be made for a machine that is a process.
pub(crate) const NEEDS: Needs = Needs {
    root_filesystem: true,
    tap: true,
    kernel: true,
};

/// What differs from one VMM to the other.
#[async_trait::async_trait]
pub(crate) trait Vmm: Send + Sync + 'static {
    /// Starts the process of a machine and writes down which it is.
    ///
    /// # Errors
    /// When there is no such process; what was made besides it is for [`Vmm::clean`].
    async fn launch(&self, spec: &MachineSpec, folder: &Folder) -> Result<Process, DriverError>;

    /// The process of a machine whose folder does not tell it.
    fn search(&self, folder: &Folder) -> Option<Process>;

    /// Machines that may be there although nothing in the run-time directory says so.
    fn elsewhere(&self) -> Vec<VmId>;

    /// Talks to the VMM for as long as there is one. Returns never: the end is the process's, not the conversation's.
    async fn converse(&self, care: &mut Care) -> Infallible;

    /// How a machine ended whose process ended so.
    fn ending(&self, folder: &Folder, status: Status) -> Exit;

    /// Removes what was made for a machine outside its folder. Its process has ended. May be said twice.
    ///
    /// # Errors
    /// When something is still there.
    fn clean(&self, folder: &Folder) -> Result<(), DriverError>;
}

type Slot = Arc<AsyncMutex<Option<Keeper>>>;

/// All machines of an adapter.
pub(crate) struct Machines<V> {
    vmm: Arc<V>,
    runtime_dir: PathBuf,
    slots: Mutex<HashMap<VmId, Slot>>,
    seats: Mutex<HashMap<VmId, Seat>>,
}

impl<V: Vmm> Machines<V> {
    pub(crate) fn new(vmm: V, runtime_dir: PathBuf) -> Self {
        Self {
            vmm: Arc::new(vmm),
            runtime_dir,
            slots: Mutex::default(),
            seats: Mutex::default(),
        }
    }

    pub(crate) fn vmm(&self) -> &V {
        &self.vmm
    }

    pub(crate) fn folder(&self, id: VmId) -> Folder {
        Folder::new(&self.runtime_dir, id)
    }

    /// The machine's slot, locked, with its process if there is one, even if nobody kept it yet.
    async fn open<'a>(&self, id: VmId, slot: &'a Slot) -> MutexGuard<'a, Option<Keeper>> {
        let mut slot = slot.lock().await;
        if slot.is_none() {
            let folder = self.folder(id);
            let process = match folder.record() {
                Some(record) => Process::adopt(record),
                None => self.vmm.search(&folder),
            };
            *slot = process.map(|process| Keeper::take(self.vmm.clone(), process, folder));
        }
        slot
    }

    fn slot(&self, id: VmId) -> Slot {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .or_default()
            .clone()
    }

    /// Forgets a slot, unless somebody else waits for it.
    fn forget(&self, id: VmId, slot: &Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's; more can only come while the map is locked.
        if Arc::strong_count(slot) == 2 {
            slots.remove(&id);
        }
    }

    pub(crate) async fn ensure(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        let slot = self.slot(spec.id);
        let mut slot = self.open(spec.id, &slot).await;
        if slot.as_ref().is_some_and(|keeper| keeper.exit().is_none()) {
            return Ok(());
        }
        *slot = None;
        let folder = self.folder(spec.id);
        let started = self.start(spec, &folder, &mut slot).await;
        if started.is_err() {
            *slot = None;
            if let Err(error) = self.vmm.clean(&folder).and_then(|()| folder.remove()) {
                tracing::warn!(vm.id = %spec.id, %error, "traces of a machine that did not start are still there");
            }
        }
        started
    }

    /// Starts the VMM and waits until it answers. When that fails, no process is left.
    async fn start(
        &self,
        spec: &MachineSpec,
        folder: &Folder,
        slot: &mut Option<Keeper>,
    ) -> Result<(), DriverError> {
        let process = self.vmm.launch(spec, folder).await?;
        let keeper = slot.insert(Keeper::take(self.vmm.clone(), process, folder.clone()));
        let mut state = keeper.state();
        let answered = state.wait_for(|state| *state != State::Starting);
        let failure = match tokio::time::timeout(START_LIMIT, answered).await {
            Ok(Ok(state)) => match &*state {
                State::Starting | State::Running => return Ok(()),
                // It was so quick that it has come and gone.
                State::Ended(exit) if exit.wish.is_some() => return Ok(()),
                State::Ended(exit) => DriverError::DidNotStart {
                    id: spec.id,
                    exit: exit.clone(),
                    said: console::vmm_tail(folder),
                },
            },
            Ok(Err(_)) | Err(_) => DriverError::DidNotAnswer {
                id: spec.id,
                limit: START_LIMIT,
            },
        };
        keeper.end(Duration::ZERO).await?;
        Err(failure)
    }

    pub(crate) async fn observe(&self, id: VmId) -> Observation {
        let slot = self.slot(id);
        let slot = self.open(id, &slot).await;
        match slot.as_ref() {
            Some(keeper) => match keeper.exit() {
                Some(exit) => Observation::Ended(exit),
                None => Observation::Running {
                    pid: Some(keeper.pid()),
                },
            },
            None => self.traces(id),
        }
    }

    fn traces(&self, id: VmId) -> Observation {
        let folder = self.folder(id);
        if folder.exists() {
            Observation::Ended(self.ending(&folder))
        } else {
            Observation::Absent
        }
    }

    fn ending(&self, folder: &Folder) -> Exit {
        self.vmm.ending(folder, folder.status())
    }

    pub(crate) async fn runs(&self, id: VmId) -> Result<(), DriverError> {
        match self.observe(id).await {
            Observation::Running { .. } => Ok(()),
            Observation::Absent | Observation::Ended(_) => Err(DriverError::NotRunning(id)),
        }
    }

    pub(crate) async fn wait_ended(&self, id: VmId) -> Exit {
        let slot = self.slot(id);
        let state = self.open(id, &slot).await.as_ref().map(Keeper::state);
        match state {
            Some(mut state) => keeper::ended(&mut state).await,
            None => self.ending(&self.folder(id)),
        }
    }

    pub(crate) async fn stop(&self, id: VmId, grace: Duration) -> Result<(), DriverError> {
        let slot = self.slot(id);
        let slot = self.open(id, &slot).await;
        match slot.as_ref().filter(|keeper| keeper.exit().is_none()) {
            Some(keeper) => keeper.end(grace).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn destroy(&self, id: VmId) -> Result<(), DriverError> {
        let shared = self.slot(id);
        let mut slot = self.open(id, &shared).await;
        if let Some(keeper) = slot.as_ref().filter(|keeper| keeper.exit().is_none()) {
            keeper.end(Duration::ZERO).await?;
        }
        *slot = None;
        // A damaged record may name another process, or none: the process table has the last word.
        let folder = self.folder(id);
        if let Some(stray) = self.vmm.search(&folder) {
            let keeper = Keeper::take(self.vmm.clone(), stray, folder.clone());
            keeper.end(Duration::ZERO).await?;
        }
        self.vmm.clean(&folder)?;
        folder.remove()?;
        drop(slot);
        self.forget(id, &shared);
        Ok(())
    }

    pub(crate) async fn recover(&self) -> Result<Vec<Recovered>, DriverError> {
        let mut ids: BTreeSet<VmId> = folder::all(&self.runtime_dir)?
            .into_iter()
            .map(|folder| folder.id)
            .collect();
        ids.extend(self.vmm.elsewhere());
        let mut found = Vec::new();
        for id in ids {
            match self.observe(id).await {
                // A reboot of the host empties the run-time directory; what lies elsewhere is of no use any more.
                Observation::Absent => self.vmm.clean(&self.folder(id))?,
                observation @ (Observation::Running { .. } | Observation::Ended(_)) => {
                    found.push(Recovered { id, observation })
                }
            }
        }
        Ok(found)
    }

    /// Seats somebody at the machine's console, in place of whoever sat there.
    pub(crate) async fn console(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        self.runs(id).await?;
        let slot = self.slot(id);
        let state = self.open(id, &slot).await.as_ref().map(Keeper::state);
        let mut state = state.ok_or(DriverError::NotRunning(id))?;
        let ended = async move {
            keeper::ended(&mut state).await;
        };
        let (stream, seat) = Seat::take(&self.folder(id), ended)?;
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|_, seat| !seat.is_left());
        seats.insert(id, seat);
        Ok(Box::new(stream))
    }

    /// Cuts what machines wrote too much of.
    pub(crate) fn tend(&self) {
        let folders = match folder::all(&self.runtime_dir) {
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
