//! The SSH server's process, as PID 1 sees it.
//!
//! Its standard input is the listening socket and its standard output one end of a socket pair that carries guest
//! frames: PID 1 sends `Config`, and the child answers `Ready` each time one is in force. So there is one protocol,
//! and no secret on any disk.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use wire::guest::{Config, Decoder, Encoder, GuestFrame, HostFrame, Ready, Usage};

use super::error::Error;

/// A child that ends sooner than this after its start is started again only after the same time, so that one that
/// cannot run does not take the whole processor. Longer, and people would wait more than a second.
const SETTLED: Duration = Duration::from_millis(250);

/// How the child answers a configuration.
#[derive(Debug)]
pub(super) enum Report {
    /// It is in force, and connections are accepted.
    Ready(Ready),
    /// It cannot be; the one before stays in force.
    Refused { code: String, message: String },
    /// How the machine is used, as often as the configuration asks.
    Usage(Usage),
}

/// The longest that PID 1 waits for a child that does not read.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// The running child.
#[derive(Debug)]
pub(super) struct SshChild {
    pid: Pid,
    socket: UnixStream,
    decoder: Decoder<GuestFrame>,
    started: Instant,
}

impl SshChild {
    /// Starts the same program with its other face, and tells it the configuration.
    ///
    /// The image's tree is named by our own descriptor of it: nobody else inherits that one, and the child, which is
    /// root, may follow it (proc_pid_fd(5)).
    pub(super) fn start(listener: &TcpListener, image: &OwnedFd, config: &Config) -> Result<Self, Error> {
        let (socket, theirs) = UnixStream::pair().map_err(Error::Spawn)?;
        socket.set_nonblocking(true).map_err(Error::Spawn)?;
        socket
            .set_write_timeout(Some(TOLD_WITHIN))
            .map_err(Error::Spawn)?;
        let listener: OwnedFd = listener.try_clone().map_err(Error::Spawn)?.into();
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(OsStr::new("powerunit"))
            .arg("ssh")
            .arg(format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd()))
            .env_clear()
            .current_dir("/");
        command
            .stdin(listener)
            .stdout(OwnedFd::from(theirs))
            .stderr(console());
        let child = command.spawn().map_err(Error::Spawn)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut child = Self {
            pid,
            socket,
            decoder: Decoder::default(),
            started: Instant::now(),
        };
        child.tell(config);
        Ok(child)
    }

    /// Gives it a newer configuration; open sessions go on.
    pub(super) fn tell(&mut self, config: &Config) {
        let frame = HostFrame::Config(Box::new(config.clone()));
        let Ok(bytes) = Encoder.encode(&frame) else { return };
        // A long list of keys may exceed the socket's buffer, so this waits for the child to read, but not for one
        // that hangs. A child that is gone is started again with this configuration anyway.
        let _ = self.socket.set_nonblocking(false);
        let _ = self.socket.write_all(&bytes);
        let _ = self.socket.set_nonblocking(true);
    }

    /// What it reported since the last call.
    pub(super) fn reports(&mut self) -> Vec<Report> {
        let mut buffer = [0; 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(count) if count > 0 => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        let frames = std::iter::from_fn(|| self.decoder.next_frame()).filter_map(Result::ok);
        frames.filter_map(Report::of).collect()
    }

    /// Whether this is the process that ended.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// How long to wait before the next start, now that it has ended.
    pub(super) fn pause(&self) -> Duration {
        if self.started.elapsed() < SETTLED {
            SETTLED
        } else {
            Duration::ZERO
        }
    }
}

impl Report {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the child says nothing else")]
    fn of(frame: GuestFrame) -> Option<Self> {
        match frame {
            GuestFrame::Ready(ready) => Some(Self::Ready(ready)),
            GuestFrame::Failed { code, message } => Some(Self::Refused { code, message }),
            GuestFrame::Usage(usage) => Some(Self::Usage(usage)),
            _ => None,
        }
    }
}

impl AsFd for SshChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn console() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/console")
        .map_or_else(|_| Stdio::null(), Stdio::from)
}
