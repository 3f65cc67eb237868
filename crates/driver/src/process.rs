//! VMM processes: found again, watched and ended by file descriptor.
//!
//! A process id can be given to another process at any time after the first one's end; a pidfd (pidfd_open(2)) means
//! one process for ever. So an id is only ever used to open a pidfd, and what is known of the process (its start time,
//! or its arguments) is compared after that.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::DriverError;
use crate::folder::Record;

/// How a process ended, as far as we may know: only its parent may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

/// A process that runs, or did when it was opened.
pub(crate) struct Process {
    pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// The process of a record, unless it has ended and been reaped, or the id was given to another since.
    pub(crate) fn adopt(record: Record) -> Option<Self> {
        let process = Self::open(record.pid).ok()?;
        (start_time(record.pid) == Some(record.start_time)).then_some(process)
    }

    /// The first process that fits. For folders that tell nothing.
    pub(crate) fn search(fits: impl Fn(u32) -> bool) -> Option<Self> {
        all().into_iter().filter(|pid| fits(*pid)).find_map(|pid| {
            let process = Self::open(pid).ok()?;
            // The id may have been given to another before it was opened.
            fits(pid).then_some(process)
        })
    }

    pub(crate) fn open(pid: u32) -> io::Result<Self> {
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

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What to write down about it.
    pub(crate) fn record(&self) -> Result<Record, DriverError> {
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
    pub(crate) async fn ended(&self) -> Status {
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
    pub(crate) fn kill(&self) -> Result<(), DriverError> {
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

/// The ids of all processes.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The arguments of a process; none of one that is gone or is the kernel's.
pub(crate) fn arguments(pid: u32) -> Vec<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
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
    use crate::launch::Launch;

    #[tokio::test]
    async fn a_record_of_a_reused_id_adopts_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("/bin/sleep");
        command.arg("600");
        let process = Launch::new(command, directory.path().join("log"))
            .spawn()
            .unwrap();
        let record = process.record().unwrap();
        let reused = Record {
            start_time: record.start_time + 1,
            ..record
        };
        assert!(Process::adopt(reused).is_none());
        let adopted = Process::adopt(record).unwrap();
        adopted.kill().unwrap();
        let killed = Status {
            code: None,
            signal: Some(9),
        };
        assert_eq!(adopted.ended().await, killed);
        assert!(Process::adopt(record).is_none());
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_arguments() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("/bin/sh");
        let mark = directory.path().display().to_string();
        command.args(["-c", "read line", &mark]);
        let launch = Launch::new(command, directory.path().join("log"));
        let (input, _writer) = std::io::pipe().unwrap();
        let launch = Launch {
            input: Some(std::fs::File::from(OwnedFd::from(input))),
            ..launch
        };
        let process = launch.spawn().unwrap();
        let fits = |pid| arguments(pid).iter().any(|argument| *argument == mark.as_bytes());
        assert_eq!(
            Process::search(fits).map(|found| found.pid()),
            Some(process.pid())
        );
        process.kill().unwrap();
        process.ended().await;
        assert!(Process::search(fits).is_none());
    }
}
