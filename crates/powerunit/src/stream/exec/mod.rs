//! A program, on pipes or on a terminal.
//!
//! ```text
//!   Running ── it ends ──► Lingering ── outputs at their end, or 1 s ──► its group is killed ──► Ended
//!      └────── Close ────► Closing: SIGHUP, after 2 s SIGKILL ── it ends ──────┘
//! ```
//!
//! The program began a session, so process, group and session have one number. It is waited for last of all: until
//! then the kernel gives that number to nobody else, and a signal to the group reaches nobody else.

mod feed;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use model::ProgramEnd;
use nix::libc;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::termios::tcsetwinsize;
use wire::stream::{End, Exec, Input, Lane, Terminal};

use super::failure::Error;
use super::link::Link;
use crate::accounts::Account;
use crate::launch::{self, NotStarted, Program, Setting};
use crate::{signal, terminal};
use feed::Feed;

/// What others of the program's group get to print their rest, such as the end of a pipe in a shell. A daemon that keeps
/// the output open delays the answer by this much and no more.
const LINGER: Duration = Duration::from_secs(1);

/// What a program gets between the client's loss of interest and SIGKILL.
const AFTER_CLOSE: Duration = Duration::from_secs(2);

/// What one read takes.
const PART: usize = 32 * 1024;

/// Runs it to its end.
pub(super) fn run(exec: &Exec, link: &mut Link) -> Result<End, Error> {
    let mut running = Running::start(exec)?;
    running.carry(link)?;
    Ok(End::Program(running.finish()?))
}

enum Phase {
    Running,
    Closing {
        kill_at: Instant,
    },
    Lingering {
        until: Instant,
    },
    /// What the outputs hold now is all there will be.
    Draining,
}

struct Running {
    child: Child,
    group: Pid,
    /// Readable when the program has ended.
    watch: OwnedFd,
    input: Feed,
    outputs: Vec<(Lane, File)>,
    /// Our end of the terminal, to be resized.
    terminal: Option<File>,
    phase: Phase,
}

/// What may be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Host,
    Program,
    Input,
    Output(Lane),
}

/// Our ends of what the program reads and writes.
struct Plumbing {
    input: Feed,
    outputs: Vec<(Lane, File)>,
    terminal: Option<File>,
}

impl Running {
    fn start(exec: &Exec) -> Result<Self, Error> {
        let program = Program {
            arguments: &exec.arguments,
            env: &exec.env,
            working_dir: &exec.working_dir,
            user: &exec.user,
        };
        let (mut command, account) = program.command()?;
        let on_terminal = match &exec.terminal {
            Some(wanted) => {
                Some(put_on_terminal(&mut command, wanted, &account).map_err(NotStarted::Plumbing)?)
            }
            None => {
                put_on_pipes(&mut command);
                None
            }
        };
        let setting = Setting {
            on_terminal: on_terminal.is_some(),
            dies_with_starter: true,
            ..Setting::default()
        };
        launch::enter(&mut command, &account, setting);
        let mut child = command.spawn().map_err(|error| program.not_run(error))?;
        // It holds the program's end of the terminal, which would otherwise never be at its end.
        drop(command);
        let plumbing = match on_terminal {
            Some(ours) => Plumbing::of_terminal(ours),
            None => Plumbing::of_pipes(&mut child),
        };
        let Plumbing {
            input,
            outputs,
            terminal,
        } = plumbing.map_err(NotStarted::Plumbing)?;
        let group = Pid::from_raw(child.id().cast_signed());
        let watch = pidfd_open(rustix::process::Pid::from_child(&child), PidfdFlags::empty());
        Ok(Self {
            watch: watch.map_err(|errno| Error::Watch(errno.into()))?,
            child,
            group,
            input,
            outputs,
            terminal,
            phase: Phase::Running,
        })
    }

    /// Carries bytes until there are no more.
    fn carry(&mut self, link: &mut Link) -> Result<(), Error> {
        loop {
            // Some of it may have come together with the opening.
            while let Some(input) = link.next() {
                self.obey(input, link);
            }
            self.keep_time();
            if matches!(self.phase, Phase::Draining) {
                self.drain(link);
            }
            let has_ended = matches!(self.phase, Phase::Lingering { .. } | Phase::Draining);
            if has_ended && self.outputs.is_empty() {
                return Ok(());
            }
            for source in self.ready(link)? {
                match source {
                    Source::Host => link.hear(),
                    Source::Program if self.note_end() => return Ok(()),
                    Source::Program => {}
                    Source::Input => link.use_up(self.input.write()),
                    Source::Output(lane) => self.forward(lane, link),
                }
            }
        }
    }

    fn ready(&self, link: &Link) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::with_capacity(5);
        let mut fds = Vec::with_capacity(5);
        let mut watch = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if !matches!(self.phase, Phase::Closing { .. }) {
            watch(Source::Host, link.as_fd(), PollFlags::IN);
        }
        if matches!(self.phase, Phase::Running | Phase::Closing { .. }) {
            watch(Source::Program, self.watch.as_fd(), PollFlags::IN);
        }
        if let Some(input) = self.input.waiting() {
            watch(Source::Input, input, PollFlags::OUT);
        }
        for (lane, output) in self.outputs.iter().filter(|_| link.room() > 0) {
            watch(Source::Output(*lane), output.as_fd(), PollFlags::IN);
        }
        match poll(&mut fds, self.patience().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::Watch(errno.into())),
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(sources
            .into_iter()
            .zip(ready)
            .filter_map(|(source, ready)| ready.then_some(source))
            .collect())
    }

    fn patience(&self) -> Option<Timespec> {
        let (Phase::Closing { kill_at: until } | Phase::Lingering { until }) = self.phase else {
            return None;
        };
        Timespec::try_from(until.saturating_duration_since(Instant::now())).ok()
    }

    fn obey(&mut self, input: Input, link: &mut Link) {
        match input {
            Input::Data(bytes) => {
                let used = self.input.push(&bytes);
                link.use_up(used);
            }
            Input::End => {
                let used = self.input.end();
                link.use_up(used);
            }
            Input::Resize(size) => {
                if let Some(terminal) = &self.terminal {
                    let _ = tcsetwinsize(terminal, terminal::size(size.columns, size.rows, 0, 0));
                }
            }
            Input::Signal(number) => signal::send_to_group(self.group, number),
            // The link has counted it.
            Input::Credit(_) => {}
            Input::Close => self.close(),
        }
    }

    /// Nobody listens any more: closing its pipes or its terminal tells the program too.
    fn close(&mut self) {
        self.input.shut();
        self.outputs.clear();
        self.terminal = None;
        if matches!(self.phase, Phase::Running) {
            signal::send_to_group(self.group, libc::SIGHUP);
            signal::send_to_group(self.group, libc::SIGCONT);
            let kill_at = Instant::now().checked_add(AFTER_CLOSE);
            self.phase = Phase::Closing {
                kill_at: kill_at.unwrap_or_else(Instant::now),
            };
        }
    }

    /// The program has ended; says whether that is all.
    fn note_end(&mut self) -> bool {
        self.input.shut();
        if matches!(self.phase, Phase::Closing { .. }) {
            return true;
        }
        // A terminal's session ends with its leader, whoever else still holds the terminal.
        let linger = match self.terminal {
            Some(_) => Duration::ZERO,
            None => LINGER,
        };
        let until = Instant::now().checked_add(linger).unwrap_or_else(Instant::now);
        self.phase = Phase::Lingering { until };
        false
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Closing { kill_at } if kill_at <= now => signal::send_to_group(self.group, libc::SIGKILL),
            Phase::Lingering { until } if until <= now => {
                signal::send_to_group(self.group, libc::SIGKILL);
                self.phase = Phase::Draining;
            }
            Phase::Running | Phase::Closing { .. } | Phase::Lingering { .. } | Phase::Draining => {}
        }
    }

    /// Reads what an output has, as far as the host has room.
    fn forward(&mut self, lane: Lane, link: &mut Link) {
        if read_part(&mut self.outputs, lane, link) == Left::Nothing {
            self.outputs.retain(|(other, _)| *other != lane);
        }
    }

    /// An output that has nothing now will have nothing.
    fn drain(&mut self, link: &mut Link) {
        for lane in [Lane::Stdout, Lane::Stderr] {
            while link.room() > 0 {
                match read_part(&mut self.outputs, lane, link) {
                    Left::Perhaps => {}
                    Left::Later | Left::Nothing => {
                        self.outputs.retain(|(other, _)| *other != lane);
                        break;
                    }
                }
            }
        }
    }

    /// Ends what is left of the group, and takes the program's status.
    fn finish(mut self) -> Result<ProgramEnd, Error> {
        signal::send_to_group(self.group, libc::SIGKILL);
        self.child.wait().map(end_of).map_err(Error::Watch)
    }
}

impl Plumbing {
    fn of_pipes(child: &mut Child) -> io::Result<Self> {
        let input = child.stdin.take().map(OwnedFd::from).map(unblocked).transpose()?;
        let stdout = child
            .stdout
            .take()
            .map(OwnedFd::from)
            .map(unblocked)
            .transpose()?;
        let stderr = child
            .stderr
            .take()
            .map(OwnedFd::from)
            .map(unblocked)
            .transpose()?;
        let outputs = [(Lane::Stdout, stdout), (Lane::Stderr, stderr)];
        Ok(Self {
            input: Feed::pipe(input),
            outputs: outputs
                .into_iter()
                .filter_map(|(lane, file)| Some((lane, file?)))
                .collect(),
            terminal: None,
        })
    }

    fn of_terminal(ours: File) -> io::Result<Self> {
        Ok(Self {
            input: Feed::terminal(ours.try_clone()?),
            outputs: vec![(Lane::Stdout, ours.try_clone()?)],
            terminal: Some(ours),
        })
    }
}

/// What an output still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Perhaps,
    Later,
    Nothing,
}

fn read_part(outputs: &mut [(Lane, File)], lane: Lane, link: &mut Link) -> Left {
    let Some((_, output)) = outputs.iter_mut().find(|(other, _)| *other == lane) else {
        return Left::Nothing;
    };
    let mut buffer = [0; PART];
    let length = link.room().min(PART);
    if length == 0 {
        return Left::Later;
    }
    match output.read(buffer.get_mut(..length).unwrap_or_default()) {
        Ok(0) => Left::Nothing,
        Ok(count) => {
            link.data(lane, buffer.get(..count).unwrap_or_default());
            Left::Perhaps
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Left::Perhaps,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Left::Later,
        // Nobody holds the other end of the terminal any more (EIO).
        Err(_) => Left::Nothing,
    }
}

fn put_on_pipes(command: &mut Command) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

fn put_on_terminal(command: &mut Command, wanted: &Terminal, account: &Account) -> io::Result<File> {
    let size = terminal::size(wanted.size.columns, wanted.size.rows, 0, 0);
    let opened = terminal::open(size, account)?;
    if !wanted.kind.is_empty() {
        command.env("TERM", &wanted.kind);
    }
    command
        .stdin(opened.inside.try_clone()?)
        .stdout(opened.inside.try_clone()?)
        .stderr(opened.inside);
    Ok(File::from(opened.ours))
}

fn unblocked(fd: OwnedFd) -> io::Result<File> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)?.union(OFlags::NONBLOCK))?;
    Ok(File::from(fd))
}

fn end_of(status: ExitStatus) -> ProgramEnd {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => ProgramEnd::Exited(code),
        (None, signal) => ProgramEnd::Killed(signal.unwrap_or(0)),
    }
}
