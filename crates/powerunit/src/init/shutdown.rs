//! The ordered end: everything asked to stop, then made to, disks clean, power off.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{UnmountFlags, unmount};
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

/// A round trip to a client, and once more; one that has gone is not waited for.
const HANG_UP: Duration = Duration::from_millis(300);

/// Between two looks at the connections: the kernel tells nobody when an end is acknowledged.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until the other ends have heard that their connections are over, if they soon do. A machine that is reset
/// before takes the news along, and its clients would wait for ever.
pub(super) fn hang_up() {
    let start = Instant::now();
    while start.elapsed() < HANG_UP && is_hanging_up() {
        std::thread::sleep(LOOK_EVERY);
    }
}

fn is_hanging_up() -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .any(|table| ends_unheard(&fs::read_to_string(table).unwrap_or_default()))
}

/// Pure: whether one of the connections in a table (proc_net_tcp in the kernel's documentation) has said its end without
/// an answer: `TCP_FIN_WAIT1`, `TCP_LAST_ACK`, `TCP_CLOSING` of the kernel's `net/tcp_states.h`.
fn ends_unheard(table: &str) -> bool {
    let states = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(3));
    states
        .into_iter()
        .any(|state| ["04", "09", "0B"].contains(&state))
}

/// Writes everything out and leaves the VM's disk clean.
pub(super) fn settle_disks(upper: Option<&Upper>) {
    nix::unistd::sync();
    let Some(upper) = upper else { return };
    unmount_all();
    if let Err(error) = upper.make_read_only() {
        kmsg::problem(&error);
        // The kernel's own last resort (Documentation/admin-guide/sysrq): every filesystem read-only, used or not.
        let _ = fs::write("/proc/sysrq-trigger", "u");
    }
    nix::unistd::sync();
}

/// Takes off what people mounted, last first: an overlay or a loop device on the VM's disk holds it.
fn unmount_all() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for target in targets(&mounts) {
        let _ = unmount(target, UnmountFlags::empty());
    }
}

/// Pure: where something is mounted, last first, but for the root and the windows into the kernel.
fn targets(mountinfo: &str) -> Vec<OsString> {
    let kept = |target: &OsString| {
        ["/dev", "/proc", "/run", "/sys"]
            .iter()
            .any(|kept| Path::new(target).starts_with(kept))
    };
    let targets = mountinfo
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped);
    targets.filter(|target| target != "/" && !kept(target)).collect()
}

/// A path in mountinfo has blanks and the like as `\ooo`, octal (proc_pid_mountinfo(5)).
fn unescaped(path: &str) -> OsString {
    let mut parts = path.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 8).ok());
        bytes.extend(rest.as_bytes());
    }
    OsString::from_vec(bytes)
}

/// The kernel argument of a VMM that knows no power-off, as Firecracker: a reset ends it, and the kernel, which has
/// nothing to switch off, would halt for ever.
const OFF_IS_RESET: &str = "pw.off=reset";

/// Ends the machine. Which end it is the host heard before.
pub(crate) fn power(kind: PowerOffKind) {
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
        if signals::reap(|_, _| {}) == Children::None {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_unheard_until_it_is_acknowledged() {
        let line = |state: &str| {
            format!(
                "  sl  local_address rem_address   st\n   0: 03001EAC:08AE 01001EAC:D2F0 {state} 00000000:00000000\n"
            )
        };
        for (state, unheard) in [
            ("01", false),
            ("04", true),
            ("05", false),
            ("06", false),
            ("09", true),
            ("0B", true),
        ] {
            assert_eq!(ends_unheard(&line(state)), unheard, "{state}");
        }
    }

    #[test]
    fn what_people_mounted_is_taken_off_last_first() {
        let mountinfo = "21 1 0:20 / / rw - overlay overlay rw\n\
            22 21 0:5 / /dev rw - devtmpfs devtmpfs rw\n\
            23 21 254:16 /volumes/var%2Flib%2Fdocker /var/lib/docker rw - ext4 /dev/vdb rw\n\
            24 23 0:40 / /var/lib/docker/merged rw - overlay overlay rw\n\
            25 21 7:0 / /mnt/my\\040disk rw - ext4 /dev/loop0 rw\n";
        assert_eq!(
            targets(mountinfo),
            ["/mnt/my disk", "/var/lib/docker/merged", "/var/lib/docker"]
        );
    }
}
