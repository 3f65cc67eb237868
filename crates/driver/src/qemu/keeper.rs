//! One task per running machine: it talks to the monitor, and it is there when the VMM ends.
//!
//! ```text
//!   Starting ──monitor answers──► Running ──process ends──► Ended(exit)
//!       └──────────────process ends──────────────────────────┘
//! ```
//!
//! QEMU is told to pause, not to end, when the guest powers off or resets (`-action shutdown=pause`, `-no-reboot`). The
//! keeper then writes down what the guest wanted and ends QEMU itself. So a guest that powered off is told from a VMM
//! that died even if nobody was there to hear it: the next keeper finds it paused, and reads on the console what the
//! kernel wrote last.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::console;
use super::folder::Folder;
use super::process::Process;
use super::qmp::{Cause, Event, Qmp, RunState};
use crate::{DriverError, Exit, GuestWish, QmpError};

/// How long a machine whose disk took no write (the host's is full) waits before it tries again.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// How long a process that was killed may take to go. Only one that waits for a device takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Between a monitor's end and its process's; longer than a process takes to end, and nobody waits for it otherwise.
const HANG_UP_PAUSE: Duration = Duration::from_secs(1);

/// What the kernel writes when it gives up, before it resets the machine as a reboot would.
const PANIC: &str = "Kernel panic - not syncing";

/// What it writes before a reset that was asked for (kernel/reboot.c), whatever its log level.
const RESTART: &str = "reboot: Restarting system";

/// How far a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Running,
    Ended(Exit),
}

/// The handle of a keeper. Dropping it ends the task, not the machine.
pub(super) struct Keeper {
    pid: u32,
    folder: Folder,
    state: watch::Receiver<State>,
    /// Asks the task to end the VMM politely. Closed where nobody talks to the monitor.
    quit: mpsc::Sender<()>,
    process: std::sync::Arc<Process>,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Takes a process into care.
    pub(super) fn take(process: Process, folder: Folder) -> Self {
        let process = std::sync::Arc::new(process);
        let (publish, state) = watch::channel(State::Starting);
        let (quit, asked_to_quit) = mpsc::channel(1);
        let task = tokio::spawn(keep(process.clone(), folder.clone(), publish, asked_to_quit));
        Self {
            pid: process.pid(),
            folder,
            state,
            quit,
            process,
            task,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// How it ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        match &*self.state.borrow() {
            State::Ended(exit) => Some(exit.clone()),
            State::Starting | State::Running => None,
        }
    }

    /// Ends the VMM: by its monitor, and with force after `grace`, or at once where the monitor is out of reach.
    pub(super) async fn end(&self, grace: Duration) -> Result<(), DriverError> {
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
pub(super) async fn ended(state: &mut watch::Receiver<State>) -> Exit {
    match state
        .wait_for(|state| matches!(state, State::Ended(_)))
        .await
        .as_deref()
    {
        Ok(State::Ended(exit)) => exit.clone(),
        Ok(State::Starting | State::Running) | Err(_) => Exit::default(),
    }
}

async fn keep(
    process: std::sync::Arc<Process>,
    folder: Folder,
    state: watch::Sender<State>,
    quit: mpsc::Receiver<()>,
) {
    let status = tokio::select! {
        biased;
        status = process.ended() => status,
        never = converse(&folder, &state, quit) => match never {},
    };
    let exit = Exit {
        status: status.code,
        signal: status.signal,
        ..folder.ending()
    };
    if folder.exists()
        && let Err(error) = folder.write_ending(&exit)
    {
        tracing::warn!(vm.id = %folder.id, %error, "how a VMM ended could not be written down");
    }
    tracing::info!(vm.id = %folder.id, pid = process.pid(), "the VMM {exit}");
    state.send_replace(State::Ended(exit));
}

/// Talks to the monitor for as long as there is one. Returns never: the end is the process's, not the conversation's.
async fn converse(folder: &Folder, state: &watch::Sender<State>, mut quit: mpsc::Receiver<()>) -> Infallible {
    let Err(error) = attend(folder, state, &mut quit).await;
    match error {
        QmpError::HungUp => tracing::debug!(vm.id = %folder.id, "the monitor hung up"),
        error @ (QmpError::Io { .. } | QmpError::Garbled(_) | QmpError::Refused { .. }) => {
            tracing::warn!(vm.id = %folder.id, %error, "nobody talks to the monitor any more")
        }
    }
    drop(quit);
    // A VMM that ends hangs up a moment before it is gone.
    tokio::time::sleep(HANG_UP_PAUSE).await;
    // Alive without a monitor is running all the same: it can still be watched and killed.
    state.send_if_modified(|state| {
        let starting = *state == State::Starting;
        if starting {
            *state = State::Running;
        }
        starting
    });
    std::future::pending().await
}

async fn attend(
    folder: &Folder,
    state: &watch::Sender<State>,
    quit: &mut mpsc::Receiver<()>,
) -> Result<Infallible, QmpError> {
    let mut qmp = Qmp::connect(&folder.monitor()).await?;
    look(&mut qmp, folder, None).await?;
    state.send_replace(State::Running);
    let mut cause = None;
    loop {
        tokio::select! {
            event = qmp.event() => match event? {
                Event::Shutdown(found) => cause = Some(found),
                Event::Stopped => look(&mut qmp, folder, cause).await?,
                Event::Other => {}
            },
            Some(()) = quit.recv() => qmp.quit().await?,
        }
    }
}

/// Does what a machine that stands still needs. `cause` is why it shut down, if that was heard.
async fn look(qmp: &mut Qmp, folder: &Folder, cause: Option<Cause>) -> Result<(), QmpError> {
    match qmp.state().await? {
        RunState::Runs => Ok(()),
        RunState::Shutdown => {
            let cause = cause.or_else(|| qmp.cause());
            if let Some(wish) = wish(cause, &console::tail(folder))
                && let Err(error) = folder.write_wish(wish)
            {
                tracing::warn!(vm.id = %folder.id, ?wish, %error, "what a guest wanted could not be written down");
            }
            qmp.quit().await
        }
        RunState::DiskError => {
            tracing::warn!(vm.id = %folder.id, "a disk of the VM takes no writes, the host's may be full; the VM waits");
            tokio::time::sleep(DISK_PAUSE).await;
            qmp.go_on().await
        }
        RunState::Broken => qmp.quit().await,
    }
}

/// What the guest of a machine that shut down wanted. Pure.
fn wish(cause: Option<Cause>, console: &str) -> Option<GuestWish> {
    match cause {
        _ if console.contains(PANIC) => None,
        Some(Cause::Host) => None,
        Some(Cause::GuestPowerOff) => Some(GuestWish::Off),
        Some(Cause::GuestReset) => Some(GuestWish::Reset),
        None if console.contains(RESTART) => Some(GuestWish::Reset),
        None => Some(GuestWish::Off),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unheard_reboot_is_told_by_the_console_and_a_panic_is_nobodys_wish() {
        let rebooted = "[    9.1] reboot: Restarting system\n";
        let off = "[    9.1] reboot: Power down\n";
        for (cause, console, wanted) in [
            (Some(Cause::GuestPowerOff), off, Some(GuestWish::Off)),
            (Some(Cause::GuestReset), "", Some(GuestWish::Reset)),
            (
                Some(Cause::GuestReset),
                "Kernel panic - not syncing: Attempted",
                None,
            ),
            (Some(Cause::Host), rebooted, None),
            (None, rebooted, Some(GuestWish::Reset)),
            (None, off, Some(GuestWish::Off)),
        ] {
            assert_eq!(wish(cause, console), wanted, "{cause:?} {console}");
        }
    }
}
