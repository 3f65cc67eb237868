//! The signals that come to PID 1, as a descriptor to wait on.

use model::ProgramEnd;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, wait};
use wire::guest::PowerOffKind;

use super::error::Error;

/// Blocks all of them and makes the descriptor: what is not read here, PID 1 would not get in any case.
pub(super) fn listen() -> Result<SignalFd, Error> {
    let failed = |errno: Errno| Error::Descriptor("signal descriptor", errno.into());
    let set = SigSet::all();
    set.thread_block().map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)
}

/// Reads all that came; tells whether one of them asks for the end.
pub(super) fn drain(signals: &SignalFd) -> Option<PowerOffKind> {
    let mut wanted = None;
    while let Ok(Some(info)) = signals.read_signal() {
        let number = libc::c_int::try_from(info.ssi_signo).unwrap_or(0);
        wanted = wish(number).or(wanted);
    }
    wanted
}

/// Pure: what a signal asks for. USR1, USR2 and TERM are what `halt`, `poweroff` and `reboot` of busybox send, INT is
/// Ctrl-Alt-Del, and the others are those of systemd(1): halt, power off, reboot and kexec, orderly and at once.
fn wish(number: libc::c_int) -> Option<PowerOffKind> {
    match number {
        libc::SIGUSR1 | libc::SIGUSR2 => Some(PowerOffKind::Off),
        libc::SIGTERM | libc::SIGINT => Some(PowerOffKind::Reboot),
        _ => match number.checked_sub(libc::SIGRTMIN())? {
            3 | 4 | 13 | 14 => Some(PowerOffKind::Off),
            5 | 6 | 15 | 16 => Some(PowerOffKind::Reboot),
            _ => None,
        },
    }
}

/// Who is left after reaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// Some process still lives.
    Some,
    /// Not one: every process is a descendant of PID 1.
    None,
}

/// Takes the exit status of every process that ended, ours or orphaned, and calls `ended` for each. By number: nix knows
/// no real-time signals, and a process may end by one.
pub(super) fn reap(mut ended: impl FnMut(Pid, ProgramEnd)) -> Children {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(Pid::from_raw(pid.as_raw_nonzero().get()), end_of(status)),
            Ok(None) => return Children::Some,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Children::None,
        }
    }
}

fn end_of(status: WaitStatus) -> ProgramEnd {
    match status.exit_status() {
        Some(status) => ProgramEnd::Exited(status),
        None => ProgramEnd::Killed(status.terminating_signal().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_of_three_inits_are_understood() {
        use PowerOffKind::{Off, Reboot};
        for (number, expected) in [
            (libc::SIGUSR1, Some(Off)),
            (libc::SIGUSR2, Some(Off)),
            (libc::SIGTERM, Some(Reboot)),
            (libc::SIGINT, Some(Reboot)),
            (libc::SIGRTMIN() + 4, Some(Off)),
            (libc::SIGRTMIN() + 5, Some(Reboot)),
            (libc::SIGRTMIN() + 1, None),
            (libc::SIGHUP, None),
            (libc::SIGCHLD, None),
            (0, None),
        ] {
            assert_eq!(wish(number), expected, "{number}");
        }
    }
}
