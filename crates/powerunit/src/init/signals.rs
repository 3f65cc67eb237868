//! The signals that mean something to PID 1, as a descriptor to wait on.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use wire::guest::PowerOffKind;

use super::error::Error;

/// Those blocked and read instead. They are what `poweroff`, `halt` and `reboot` of busybox send, and Ctrl-Alt-Del.
const OURS: [Signal; 5] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Blocks them and makes the descriptor.
pub(super) fn listen() -> Result<SignalFd, Error> {
    let failed = |errno: Errno| Error::Descriptor("signal descriptor", errno.into());
    let set: SigSet = OURS.into_iter().collect();
    set.thread_block().map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)
}

/// Reads all that came; tells whether one of them asks for the end.
pub(super) fn drain(signals: &SignalFd) -> Option<PowerOffKind> {
    let mut wanted = None;
    while let Ok(Some(info)) = signals.read_signal() {
        let signal = i32::try_from(info.ssi_signo)
            .ok()
            .and_then(|number| Signal::try_from(number).ok());
        wanted = match signal {
            Some(Signal::SIGUSR1 | Signal::SIGUSR2) => Some(PowerOffKind::Off),
            Some(Signal::SIGTERM | Signal::SIGINT) => Some(PowerOffKind::Reboot),
            Some(_) | None => wanted,
        };
    }
    wanted
}

/// Who is left after reaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// Some process still lives.
    Some,
    /// Not one: every process is a descendant of PID 1.
    None,
}

/// Takes the exit status of every process that ended, ours or orphaned, and calls `ended` for each.
pub(super) fn reap(mut ended: impl FnMut(Pid)) -> Children {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Children::Some,
            Ok(status) => {
                if let Some(pid) = status.pid() {
                    ended(pid);
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return Children::None,
        }
    }
}
