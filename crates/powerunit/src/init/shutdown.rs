//! The ordered end: everything asked to stop, then made to, disks clean, power off.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::system::{RebootCommand, reboot};
use wire::guest::PowerOffKind;

use super::kmsg;
use super::root::Upper;
use super::signals::{self, Children};

/// What SIGKILL gets to take effect; a process in an uninterruptible wait does not keep the machine up.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Ends every other process: SIGTERM, after `grace` SIGKILL.
pub(super) fn end_processes(signals: &SignalFd, grace: Duration) {
    // Shells ignore SIGTERM and obey SIGHUP; what is stopped must run to obey anything.
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCONT] {
        everyone(signal);
    }
    if wait(signals, grace) == Children::Some {
        everyone(Signal::SIGKILL);
        wait(signals, AFTER_KILL);
    }
}

/// Writes everything out and leaves the VM's disk clean.
pub(super) fn settle_disks(upper: Option<&Upper>) {
    nix::unistd::sync();
    let Some(upper) = upper else { return };
    if let Err(error) = upper.make_read_only() {
        kmsg::problem(&error);
        // The kernel's own last resort (Documentation/admin-guide/sysrq): every filesystem read-only, used or not.
        let _ = fs::write("/proc/sysrq-trigger", "u");
    }
    nix::unistd::sync();
}

/// The kernel argument of a VMM that knows no power-off, as Firecracker: a reset ends it, and the kernel, which has
/// nothing to switch off, would halt for ever.
const OFF_IS_RESET: &str = "pw.off=reset";

/// Ends the machine. Which end it is the host heard before.
pub(super) fn power(kind: PowerOffKind) {
    let arguments = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if kind == PowerOffKind::Off && !is_given(&arguments, OFF_IS_RESET) {
        let _ = reboot(RebootCommand::PowerOff);
    }
    let _ = reboot(RebootCommand::Restart);
}

fn is_given(arguments: &str, wanted: &str) -> bool {
    arguments
        .split_ascii_whitespace()
        .any(|argument| argument == wanted)
}

/// Leaves a person, or the host's console log, the time to read what went wrong.
pub(super) fn pause() {
    std::thread::sleep(Duration::from_secs(3));
}

/// All processes but this one (kill(2), pid -1).
fn everyone(signal: Signal) {
    let _ = kill(Pid::from_raw(-1), signal);
}

fn wait(signals: &SignalFd, limit: Duration) -> Children {
    let start = Instant::now();
    loop {
        signals::drain(signals);
        if signals::reap(|_| {}) == Children::None {
            return Children::None;
        }
        let left = limit.saturating_sub(start.elapsed());
        let Ok(left) = Timespec::try_from(left) else {
            return Children::Some;
        };
        if left.tv_sec == 0 && left.tv_nsec == 0 {
            return Children::Some;
        }
        let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&left));
    }
}
