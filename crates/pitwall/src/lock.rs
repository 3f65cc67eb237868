//! One pitwall per run-time directory: a lock that the kernel gives back when its holder dies, with the holder's
//! process id for others to read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The lock, held until dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its effect")] Flock<File>);

/// Why the lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("failed to open the lock {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("another pitwall runs here, with process id {pid}; end it with: pitwall down, or: kill {pid}")]
    Held { pid: i32 },
    #[error("failed to end the running pitwall, process id {pid}")]
    Signal { pid: i32, source: nix::Error },
    #[error(
        "the running pitwall, process id {pid}, does not end within {seconds} s; look at its log, or: kill -9 {pid}"
    )]
    Stuck { pid: i32, seconds: u64 },
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let opened = |source| LockError::Open {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(opened)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(opened)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, nix::Error::EWOULDBLOCK)) => {
                return Err(LockError::Held {
                    pid: holder(&mut file),
                });
            }
            Err((_, error)) => return Err(opened(error.into())),
        };
        let write = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        write(&mut lock).map_err(opened)?;
        Ok(Self(lock))
    }

    /// Who holds the lock, if anybody does. Nothing is made or taken.
    pub(crate) fn holder(path: &Path) -> Option<i32> {
        let file = File::open(path).ok()?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((mut file, nix::Error::EWOULDBLOCK)) => Some(holder(&mut file)),
            Ok(_) | Err(_) => None,
        }
    }

    /// Ends whoever holds the lock, politely, and takes it.
    pub(crate) fn wrest(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let deadline = Instant::now() + patience;
        let mut told = None;
        loop {
            match Self::take(path) {
                Err(LockError::Held { pid }) if Instant::now() >= deadline => {
                    return Err(LockError::Stuck {
                        pid,
                        seconds: patience.as_secs(),
                    });
                }
                Err(LockError::Held { pid }) => {
                    if pid > 0 && told != Some(pid) {
                        kill(Pid::from_raw(pid), Signal::SIGTERM)
                            .or_else(|error| {
                                if error == nix::Error::ESRCH {
                                    Ok(())
                                } else {
                                    Err(error)
                                }
                            })
                            .map_err(|source| LockError::Signal { pid, source })?;
                        told = Some(pid);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => return other,
            }
        }
    }
}

fn holder(file: &mut File) -> i32 {
    let mut text = String::new();
    // A holder that has not written its id yet is reported as 0 and asked again.
    let _ = file.read_to_string(&mut text);
    text.trim().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/pitwall.lock");
        let held = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(LockError::Held { pid }) => assert_eq!(pid.unsigned_abs(), std::process::id()),
            other => panic!("{:?}", other.map(|_| ())),
        }
        assert_eq!(
            Lock::holder(&path).map(i32::unsigned_abs),
            Some(std::process::id())
        );
        drop(held);
        assert_eq!(Lock::holder(&path), None);
        Lock::take(&path).unwrap();
    }
}
