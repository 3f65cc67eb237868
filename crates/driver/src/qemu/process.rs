//! VMM processes: started so that they outlive us, found again, watched and ended by file descriptor.
//!
//! A process id can be given to another process at any time after the first one's end; a pidfd (pidfd_open(2)) means
//! one process for ever. So an id is only ever used to open a pidfd, and what is known of the process (its start time,
//! or its arguments) is compared after that.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::folder::{Folder, Record};
use crate::DriverError;

/// The first descriptor after the standard ones.
const FIRST_FREE: libc::c_uint = 3;

/// How a process ended, as far as we may know: only its parent may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Status {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

/// A process that runs, or did when it was opened.
pub(super) struct Process {
    pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Executes a program in a session of its own, with the two sockets as its only inherited descriptors besides its
    /// output, which is appended to a file.
    pub(super) fn spawn(mut command: Command, log: &Path, sockets: [UnixListener; 2]) -> io::Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/");
        detach(&mut command, sockets);
        let child = command.spawn()?;
        let pid = child.id();
        // Dropping the child's handle neither ends nor reaps it; the pidfd does the latter.
        drop(child);
        Self::open(pid)
    }

    /// The process of a record, unless it has ended and been reaped, or the id was given to another since.
    pub(super) fn adopt(record: Record) -> Option<Self> {
        let process = Self::open(record.pid).ok()?;
        (start_time(record.pid) == Some(record.start_time)).then_some(process)
    }

    /// Searches all processes for the VMM whose console is that of this folder. For folders that tell nothing.
    pub(super) fn search(folder: &Folder) -> Option<Self> {
        all()
            .into_iter()
            .filter(|pid| console_of(*pid).as_deref() == Some(&folder.console()))
            .find_map(|pid| {
                let process = Self::open(pid).ok()?;
                (console_of(pid)? == folder.console()).then_some(process)
            })
    }

    fn open(pid: u32) -> io::Result<Self> {
        let id = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(id, PidfdFlags::empty())?;
        Ok(Self {
            pid,
            pidfd: watched(pidfd)?,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What to write down about it.
    pub(super) fn record(&self) -> Result<Record, DriverError> {
        let start_time = start_time(self.pid).ok_or_else(|| DriverError::Process {
            operation: "look at",
            pid: self.pid,
            source: io::ErrorKind::NotFound.into(),
        })?;
        Ok(Record {
            pid: self.pid,
            start_time,
        })
    }

    /// Returns when it has ended; reaps it if it is a child of ours. May be dropped and asked for again.
    pub(super) async fn ended(&self) -> Status {
        // A pidfd becomes readable when its process ends, and stays so. Watching can only fail at the runtime's end.
        if self.pidfd.readable().await.is_err() {
            return Status::default();
        }
        let found = waitid(
            WaitId::PidFd(self.pidfd.get_ref().as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
        found
            .ok()
            .flatten()
            .map_or_else(Status::default, |status| Status {
                code: status.exit_status(),
                signal: status.terminating_signal(),
            })
    }

    /// Ends it with force, if it is there.
    pub(super) fn kill(&self) -> Result<(), DriverError> {
        match pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(DriverError::Process {
                operation: "kill",
                pid: self.pid,
                source: io::Error::from(error),
            }),
        }
    }
}

#[expect(unsafe_code, reason = "tokio cannot see that a descriptor stays what it is")]
fn watched(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is one open descriptor until it is dropped, and the `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

#[expect(
    unsafe_code,
    reason = "a session of its own and inherited descriptors need code between fork and exec"
)]
fn detach(command: &mut Command, sockets: [UnixListener; 2]) {
    let prepare = move || {
        rustix::process::setsid()?;
        close_on_exec_from(FIRST_FREE);
        for socket in &sockets {
            rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)). The closure makes plain
    // system calls, neither allocates nor locks, and the sockets it borrows live in it.
    unsafe { command.pre_exec(prepare) };
}

/// Marks every descriptor from this one on. Those that this process inherited itself may be pipes of a program that
/// started it, which would then wait for a VMM's end. A kernel older than 5.11 cannot, and they stay.
#[expect(unsafe_code, reason = "close_range(2) has no safe wrapper")]
fn close_on_exec_from(first: libc::c_uint) {
    // SAFETY: a plain system call on numbers; with this flag nothing is closed in this process.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// The descriptors under which a child will find the sockets.
pub(super) fn numbers(sockets: &[UnixListener; 2]) -> [i32; 2] {
    sockets.each_ref().map(AsRawFd::as_raw_fd)
}

/// The folders' consoles of all VMMs that write one below this directory.
pub(super) fn consoles() -> Vec<std::path::PathBuf> {
    all().into_iter().filter_map(console_of).collect()
}

fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The console that a process was told to write, if it is a VMM of this driver.
fn console_of(pid: u32) -> Option<std::path::PathBuf> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    arguments.split(|&byte| byte == 0).find_map(|argument| {
        let path = argument
            .strip_prefix(b"file,id=con,path=")?
            .strip_suffix(b",append=on")?;
        Some(std::str::from_utf8(path).ok()?.replace(",,", ",").into())
    })
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)); the name before it may hold anything, so it is counted from the
/// last parenthesis.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(directory: &Path) -> [UnixListener; 2] {
        ["a", "b"].map(|name| UnixListener::bind(directory.join(name)).unwrap())
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_childs_end_is_seen_with_its_status_and_reaped() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let process = Process::spawn(shell("echo said; exit 7"), &log, sockets(directory.path())).unwrap();
        assert_eq!(
            process.ended().await,
            Status {
                code: Some(7),
                signal: None
            }
        );
        assert_eq!(fs::read_to_string(log).unwrap(), "said\n");
        assert_eq!(start_time(process.pid()), None, "it was not reaped");
        process.kill().unwrap();
    }

    #[tokio::test]
    async fn it_has_a_session_of_its_own_and_inherits_the_sockets_only() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let sockets = sockets(directory.path());
        let [a, b] = numbers(&sockets);
        let script = "cut -d' ' -f6 /proc/self/stat; echo $$; for fd in /proc/$$/fd/*; do test -e $fd && echo ${fd##*/}; done";
        let process = Process::spawn(shell(script), &log, sockets).unwrap();
        process.ended().await;
        let text = fs::read_to_string(log).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), lines.next(), "session and process: {text}");
        let mut inherited: Vec<i32> = lines
            .map(|line| line.parse().unwrap())
            .filter(|fd| *fd > 2)
            .collect();
        inherited.sort_unstable();
        let mut expected = vec![a, b];
        expected.sort_unstable();
        assert_eq!(inherited, expected);
    }

    #[tokio::test]
    async fn a_record_of_a_reused_id_adopts_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let process = Process::spawn(shell("sleep 600"), &log, sockets(directory.path())).unwrap();
        let record = process.record().unwrap();
        assert!(
            Process::adopt(Record {
                start_time: record.start_time + 1,
                ..record
            })
            .is_none()
        );
        let adopted = Process::adopt(record).unwrap();
        adopted.kill().unwrap();
        assert_eq!(
            adopted.ended().await,
            Status {
                code: None,
                signal: Some(9)
            }
        );
        assert!(Process::adopt(record).is_none());
    }
}
