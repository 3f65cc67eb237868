//! How a VMM's process is started: so that it outlives us, with nothing inherited that was not meant.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sched::{CloneFlags, unshare};

use crate::DriverError;
use crate::confine::{ConfineError, Confinement, Rights};
use crate::folder::Folder;
use crate::process::Process;

/// The first descriptor after the standard ones.
const FIRST_FREE: libc::c_uint = 3;

/// A process to be started in a session of its own.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// What it reads; nothing without.
    pub(crate) input: Option<File>,
    /// Files that its output and its errors are appended to, so that they can be cut at any time.
    pub(crate) output: PathBuf,
    pub(crate) errors: PathBuf,
    /// The only other descriptors that it inherits, under the numbers they have here.
    pub(crate) keep: Vec<OwnedFd>,
    /// The lists of processes of the control groups that it belongs to.
    pub(crate) groups: Vec<File>,
    /// Whether it is the first process of a PID namespace and sees no other.
    pub(crate) alone: bool,
    /// What it sees of the host and who it is; it is then alone, too.
    pub(crate) confinement: Option<Confinement>,
}

impl Launch {
    /// A process that only writes to a log.
    pub(crate) fn new(command: Command, log: PathBuf) -> Self {
        Self {
            command,
            input: None,
            output: log.clone(),
            errors: log,
            keep: Vec::new(),
            groups: Vec::new(),
            alone: false,
            confinement: None,
        }
    }

    /// Starts it and writes down which process it is; if that cannot be, it is ended again.
    pub(crate) fn record_in(self, folder: &Folder) -> Result<Process, DriverError> {
        let binary = self.command.get_program().into();
        let process = self
            .spawn()
            .map_err(|source| match source.downcast::<ConfineError>() {
                Ok(error) => error.into(),
                Err(source) => DriverError::Execute { binary, source },
            })?;
        let recorded = process.record().and_then(|record| folder.write_record(record));
        if let Err(error) = recorded {
            process.kill()?;
            return Err(error);
        }
        Ok(process)
    }

    /// Starts it.
    pub(crate) fn spawn(mut self) -> io::Result<Process> {
        let (alone, confinement) = (self.alone, self.confinement.take());
        let rights = confinement.as_ref().map(|confinement| confinement.rights);
        let command = self.prepared(rights)?;
        let pid = match confinement {
            Some(confinement) => spawn_apart(command, move || confinement.enter())?,
            None if alone => spawn_apart(command, || Ok(unshare(CloneFlags::CLONE_NEWPID)?))?,
            None => spawn(command)?,
        };
        Process::open(pid)
    }

    fn prepared(self, rights: Option<Rights>) -> io::Result<Command> {
        let mut command = self.command;
        command
            .stdin(self.input.map_or_else(Stdio::null, Stdio::from))
            .stdout(appended(&self.output)?)
            .stderr(appended(&self.errors)?)
            .current_dir("/");
        detach(&mut command, self.keep, self.groups, rights);
        Ok(command)
    }
}

fn appended(file: &Path) -> io::Result<File> {
    fs::OpenOptions::new().create(true).append(true).open(file)
}

/// Dropping the child's handle neither ends nor reaps it; whoever opens its pidfd does the latter.
fn spawn(mut command: Command) -> io::Result<u32> {
    Ok(command.spawn()?.id())
}

/// Starts it as a child of a thread that goes apart first, into namespaces of its own. What is unshared is the calling
/// thread's (unshare(2)), so the thread is one that does nothing else, and ends.
fn spawn_apart(
    command: Command,
    go_apart: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<u32> {
    let spawned = std::thread::spawn(move || {
        go_apart()?;
        spawn(command)
    });
    spawned
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts a VMM panicked")))
}

#[expect(
    unsafe_code,
    reason = "a session, groups and inherited descriptors need code between fork and exec"
)]
fn detach(command: &mut Command, keep: Vec<OwnedFd>, groups: Vec<File>, rights: Option<Rights>) {
    let prepare = move || {
        rustix::process::setsid()?;
        for group in &groups {
            // Zero means the writer (cgroups(7)).
            rustix::io::write(group, b"0")?;
        }
        close_on_exec_from(FIRST_FREE);
        for descriptor in &keep {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
        }
        rights.map_or(Ok(()), Rights::take)
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)). The closure makes plain
    // system calls, neither allocates nor locks, and the descriptors it borrows live in it.
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

/// The descriptors under which a child will find what it keeps.
pub(crate) fn numbers<const N: usize>(kept: &[impl AsRawFd; N]) -> [i32; N] {
    kept.each_ref().map(AsRawFd::as_raw_fd)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::process::Status;

    fn shell(script: &str, log: &Path) -> Launch {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Launch::new(command, log.to_owned())
    }

    #[tokio::test]
    async fn a_childs_end_is_seen_with_its_status_and_reaped() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let process = shell("echo said; exit 7", &log).spawn().unwrap();
        let ended = Status {
            code: Some(7),
            signal: None,
        };
        assert_eq!(process.ended().await, ended);
        assert_eq!(fs::read_to_string(log).unwrap(), "said\n");
        assert!(process.record().is_err(), "it was not reaped");
        process.kill().unwrap();
    }

    #[tokio::test]
    async fn it_has_a_session_of_its_own_and_inherits_what_it_keeps_only() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let sockets = ["a", "b"].map(|name| UnixListener::bind(directory.path().join(name)).unwrap());
        let mut expected = numbers(&sockets).to_vec();
        let script = "cut -d' ' -f6 /proc/self/stat; echo $$; for fd in /proc/$$/fd/*; do test -e $fd && echo ${fd##*/}; done";
        let launch = Launch {
            keep: sockets.map(Into::into).into(),
            ..shell(script, &log)
        };
        launch.spawn().unwrap().ended().await;
        let text = fs::read_to_string(log).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), lines.next(), "session and process: {text}");
        let mut inherited: Vec<i32> = lines
            .map(|line| line.parse().unwrap())
            .filter(|fd| *fd > 2)
            .collect();
        inherited.sort_unstable();
        expected.sort_unstable();
        assert_eq!(inherited, expected);
    }

    #[tokio::test]
    async fn one_that_is_alone_is_the_first_process_it_knows_and_still_our_child() {
        if !nix::unistd::geteuid().is_root() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "a PID namespace needs root"
            );
            println!("skipped: a PID namespace needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let launch = Launch {
            alone: true,
            ..shell("echo $$; exit 3", &log)
        };
        let process = launch.spawn().unwrap();
        assert_eq!(process.ended().await.code, Some(3));
        assert_eq!(fs::read_to_string(log).unwrap(), "1\n");
        // The thread's namespace is gone with it: who comes next is an ordinary process again.
        let log = directory.path().join("next");
        shell("echo $$", &log).spawn().unwrap().ended().await;
        assert_ne!(fs::read_to_string(log).unwrap(), "1\n");
    }
}
