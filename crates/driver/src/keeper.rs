//! One task per running machine: it talks to the VMM, and it is there when that ends.
//!
//! ```text
//!   Starting ──VMM answers──► Running ──process ends──► Ended(exit)
//!       └─────────────process ends──────────────────────┘
//! ```
//!
//! What is said to a VMM is its adapter's ([`Vmm::converse`]); that it ended is a fact about its process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::folder::Folder;
use crate::machines::Vmm;
use crate::process::Process;
use crate::{DriverError, Exit};

/// How long a process that was killed may take to go. Only one that waits for a device takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How far a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Ended(Exit),
}

/// What a conversation with a VMM has to do with the rest.
pub(crate) struct Care {
    pub(crate) folder: Folder,
    pub(crate) process: Arc<Process>,
    /// Where it says that the VMM answers.
    pub(crate) state: watch::Sender<State>,
    /// A word on it asks to end the VMM politely. Closed by a conversation that cannot.
    pub(crate) quit: mpsc::Receiver<()>,
}

impl Care {
    /// Says that the machine runs, unless it was said before.
    pub(crate) fn runs(&self) {
        self.state.send_if_modified(|state| {
            let starting = *state == State::Starting;
            if starting {
                *state = State::Running;
            }
            starting
        });
    }
}

/// The handle of a keeper. Dropping it ends the task, not the machine.
pub(crate) struct Keeper {
    pid: u32,
    folder: Folder,
    state: watch::Receiver<State>,
    quit: mpsc::Sender<()>,
    process: Arc<Process>,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Takes a process into care.
    pub(crate) fn take(vmm: Arc<impl Vmm>, process: Process, folder: Folder) -> Self {
        let process = Arc::new(process);
        let (publish, state) = watch::channel(State::Starting);
        let (quit, asked_to_quit) = mpsc::channel(1);
        let care = Care {
            folder: folder.clone(),
            process: process.clone(),
            state: publish,
            quit: asked_to_quit,
        };
        Self {
            pid: process.pid(),
            folder,
            state,
            quit,
            process,
            task: tokio::spawn(keep(vmm, care)),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match &*self.state.borrow() {
            State::Ended(exit) => Some(exit.clone()),
            State::Starting | State::Running => None,
        }
    }

    /// Ends the VMM: politely, and with force after `grace`, or at once where nobody can ask it.
    pub(crate) async fn end(&self, grace: Duration) -> Result<(), DriverError> {
        let mut state = self.state();
        if !grace.is_zero()
            && self.quit.try_send(()).is_ok()
            && tokio::time::timeout(grace, ended(&mut state)).await.is_ok()
        {
            return Ok(());
        }
        self.process.kill()?;
        match tokio::time::timeout(KILL_LIMIT, ended(&mut state)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(DriverError::DoesNotEnd {
                id: self.folder.id,
                pid: self.pid,
                waited: KILL_LIMIT,
            }),
        }
    }
}

/// Returns at the machine's end, or at its keeper's.
pub(crate) async fn ended(state: &mut watch::Receiver<State>) -> Exit {
    match state
        .wait_for(|state| matches!(state, State::Ended(_)))
        .await
        .as_deref()
    {
        Ok(State::Ended(exit)) => exit.clone(),
        Ok(State::Starting | State::Running) | Err(_) => Exit::default(),
    }
}

async fn keep(vmm: Arc<impl Vmm>, mut care: Care) {
    let (folder, process) = (care.folder.clone(), care.process.clone());
    let status = tokio::select! {
        biased;
        status = process.ended() => status,
        never = vmm.converse(&mut care) => match never {},
    };
    let exit = vmm.ending(&folder, status);
    if folder.exists()
        && let Err(error) = folder.write_ending(&exit)
    {
        tracing::warn!(vm.id = %folder.id, %error, "how a VMM ended could not be written down");
    }
    tracing::info!(vm.id = %folder.id, pid = process.pid(), "the VMM {exit}");
    care.state.send_replace(State::Ended(exit));
}
