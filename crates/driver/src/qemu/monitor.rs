//! The conversation with QEMU's monitor.
//!
//! QEMU is told to pause, not to end, when the guest powers off or resets (`-action shutdown=pause`, `-no-reboot`). What
//! the guest wanted is then written down, and QEMU told to end. So a guest that powered off is told from a VMM that died
//! even if nobody was there to hear it: the next keeper finds it paused, and reads on the console what the kernel wrote
//! last.

use std::convert::Infallible;
use std::time::Duration;

use super::MONITOR;
use super::qmp::{Cause, Event, Qmp, RunState};
use crate::folder::Folder;
use crate::keeper::Care;
use crate::{GuestWish, QmpError, console};

/// How long a machine whose disk took no write (the host's is full) waits before it tries again.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// Between a monitor's end and its process's; longer than a process takes to end, and nobody waits for it otherwise.
const HANG_UP_PAUSE: Duration = Duration::from_secs(1);

/// What the kernel writes when it gives up, before it resets the machine as a reboot would.
const PANIC: &str = "Kernel panic - not syncing";

/// What it writes before a reset that was asked for (kernel/reboot.c), whatever its log level.
const RESTART: &str = "reboot: Restarting system";

/// Talks to the monitor for as long as there is one.
pub(super) async fn converse(care: &mut Care) -> Infallible {
    let Err(error) = attend(care).await;
    match error {
        QmpError::HungUp => tracing::debug!(vm.id = %care.folder.id, "the monitor hung up"),
        error @ (QmpError::Io { .. } | QmpError::Garbled(_) | QmpError::Refused { .. }) => {
            tracing::warn!(vm.id = %care.folder.id, %error, "nobody talks to the monitor any more")
        }
    }
    care.quit.close();
    // A VMM that ends hangs up a moment before it is gone.
    tokio::time::sleep(HANG_UP_PAUSE).await;
    // Alive without a monitor is running all the same: it can still be watched and killed.
    care.runs();
    std::future::pending().await
}

async fn attend(care: &mut Care) -> Result<Infallible, QmpError> {
    let folder = care.folder.clone();
    let mut qmp = Qmp::connect(&folder.file(MONITOR)).await?;
    look(&mut qmp, &folder, None).await?;
    care.runs();
    let mut cause = None;
    loop {
        tokio::select! {
            event = qmp.event() => match event? {
                Event::Shutdown(found) => cause = Some(found),
                Event::Stopped => look(&mut qmp, &folder, cause).await?,
                Event::Other => {}
            },
            Some(()) = care.quit.recv() => qmp.quit().await?,
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
