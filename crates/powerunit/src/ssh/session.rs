//! One channel: what the client set up before, then the program, its bytes and its end.
//!
//! ```text
//!   pty-req, env … ─► Waiting ── shell or exec ─► Running ── program ends ─► rest of output, eof, status, close
//!                                                   └── channel goes first ─► SIGHUP to the program's session
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf};
use rustix::termios::Winsize;
use tokio::process::Child;
use tokio::sync::mpsc;

use super::accounts::{Account, Database};
use super::environment::{self, Ends};
use super::gate::{Chunk, Gate};
use super::outcome::{self, Outcome};
use super::process::{self, Task};
use super::pty::{self, Terminal};
use super::pump::{self, Downlink, Lane};
use super::settings::Settings;

/// A channel of kind "session".
pub(super) struct Session {
    channel: ChannelId,
    handle: Handle,
    gate: Arc<Gate>,
    downlink: Option<Downlink>,
    terminal: Option<pty::Request>,
    sent: Vec<(String, String)>,
    input: Option<mpsc::UnboundedSender<Chunk>>,
    running: Option<Running>,
}

struct Running {
    group: Group,
    terminal: Option<Terminal>,
}

/// The program's process group while it lives; 0 afterwards, when its number may be somebody else's.
#[derive(Debug, Clone, Default)]
struct Group(Arc<AtomicI32>);

/// More than any client sends; a bound on what one may make us keep.
const MOST_VARIABLES: usize = 64;

/// Who asks, and under which configuration.
pub(super) struct Context<'a> {
    pub(super) login: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) ends: Ends,
    /// What the client had asked for, where something else runs in its place.
    pub(super) original_command: Option<Vec<u8>>,
}

impl Session {
    pub(super) fn new(write: ChannelWriteHalf<Msg>, handle: Handle, gate: Arc<Gate>) -> Self {
        Self {
            channel: write.id(),
            handle,
            downlink: Some(Downlink {
                channel: write,
                gate: Arc::clone(&gate),
            }),
            gate,
            terminal: None,
            sent: Vec::new(),
            input: None,
            running: None,
        }
    }

    pub(super) fn set_terminal(&mut self, request: pty::Request) {
        self.terminal = Some(request);
    }

    /// Whether the variable was taken.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) -> bool {
        let taken = environment::may_be_sent(name) && self.sent.len() < MOST_VARIABLES;
        if taken {
            self.sent.push((name.to_owned(), value.to_owned()));
        }
        taken
    }

    /// Starts the task; `false` if this channel already has one. A program that cannot start is an answer, not a
    /// failure of the request: the client gets a sentence and a status.
    pub(super) fn start(&mut self, task: &Task, context: &Context<'_>) -> bool {
        let Some(downlink) = self.downlink.take() else {
            return false;
        };
        let account = Database::read().login(context.login, &context.settings.image.user);
        match self.spawn(task, &account, context) {
            Ok((child, terminal)) => {
                let group = Group::of(&child);
                let (input, queue) = mpsc::unbounded_channel();
                self.input = Some(input);
                self.running = Some(Running {
                    group: group.clone(),
                    terminal: terminal.clone(),
                });
                let ending = Ending {
                    channel: self.channel,
                    handle: self.handle.clone(),
                    downlink,
                };
                tokio::spawn(async move {
                    let outcome = match terminal {
                        Some(terminal) => ending.on_terminal(child, &group, terminal, queue).await,
                        None => ending.on_pipes(child, &group, queue).await,
                    };
                    ending.tell(outcome).await;
                });
            }
            Err(text) => {
                let ending = Ending {
                    channel: self.channel,
                    handle: self.handle.clone(),
                    downlink,
                };
                tokio::spawn(async move {
                    let _ = ending
                        .downlink
                        .send(Lane::Error, format!("powerunit: {text}\r\n").as_bytes())
                        .await;
                    ending.tell(Outcome::Exited(outcome::NOT_FOUND)).await;
                });
            }
        }
        true
    }

    fn spawn(
        &self,
        task: &Task,
        account: &Account,
        context: &Context<'_>,
    ) -> Result<(Child, Option<Terminal>), String> {
        let shell = account.usable_shell();
        let plan = process::plan(task, shell.as_deref()).map_err(|error| error.to_string())?;
        let image = &context.settings.image.env;
        let mut environment =
            environment::compose(image, account, shell.as_deref(), &self.sent, context.ends);
        if let Some(asked) = &context.original_command {
            environment.insert("SSH_ORIGINAL_COMMAND".into(), OsStr::from_bytes(asked).into());
        }
        // Packets would not survive a terminal, so a request for one is passed over.
        let wanted = self.terminal.as_ref().filter(|_| *task != Task::Sftp);
        let opened = wanted.map(|request| pty::open(request, account)).transpose();
        let opened = opened.map_err(|error| format!("cannot open a terminal: {error}"))?;
        let (terminal, inside) = match (opened, wanted) {
            (Some(opened), Some(request)) => {
                environment.insert("TERM".into(), request.term.clone().into());
                environment.insert("SSH_TTY".into(), opened.path.into());
                (Some(opened.terminal), Some(opened.inside))
            }
            _ => (None, None),
        };
        let child = process::start(&plan, account, environment, inside);
        let child = child.map_err(|error| format!("{}: {error}", plan.path.display()))?;
        Ok((child, terminal))
    }

    pub(super) fn input(&self, bytes: &[u8]) {
        if let Some(input) = &self.input {
            let _ = input.send(self.gate.chunk(bytes));
        }
    }

    pub(super) fn end_input(&mut self) {
        self.input = None;
    }

    pub(super) fn resize(&self, size: Winsize) {
        if let Some(terminal) = self
            .running
            .as_ref()
            .and_then(|running| running.terminal.as_ref())
        {
            terminal.resize(size);
        }
    }

    pub(super) fn signal(&self, name: &russh::Sig) {
        if let (Some(running), Some(signal)) = (&self.running, outcome::signal(name)) {
            running.group.signal(signal);
        }
    }
}

impl Drop for Session {
    /// The channel is gone. A program that has ended is not there to be told.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.group.signal(Signal::SIGHUP);
            running.group.signal(Signal::SIGCONT);
        }
    }
}

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(Arc::new(AtomicI32::new(pid.unwrap_or(0))))
    }

    /// Signals the whole group; its leader began a session, so group and process have one number.
    fn signal(&self, signal: Signal) {
        match self.0.load(Ordering::Relaxed) {
            0 => {}
            group => {
                let _ = killpg(Pid::from_raw(group), signal);
            }
        }
    }

    async fn wait(&self, child: &mut Child) -> Outcome {
        let status = child.wait().await;
        self.0.store(0, Ordering::Relaxed);
        status.map_or(Outcome::Exited(255), Outcome::from)
    }
}

/// What a running session's task holds.
struct Ending {
    channel: ChannelId,
    handle: Handle,
    downlink: Downlink,
}

impl Ending {
    /// Output ends when nobody holds the pipes any more, which may be later than the program, as with any SSH server.
    async fn on_pipes(
        &self,
        mut child: Child,
        group: &Group,
        queue: mpsc::UnboundedReceiver<Chunk>,
    ) -> Outcome {
        let feeding = child
            .stdin
            .take()
            .map(|stdin| tokio::spawn(pump::feed(queue, stdin)));
        let output = child.stdout.take();
        let errors = child.stderr.take();
        let pumps = async {
            let lane = |lane, from| async move {
                if let Some(from) = from {
                    self.downlink.copy(lane, from).await
                } else {
                    Ok(())
                }
            };
            let error_lane = async {
                if let Some(from) = errors {
                    self.downlink.copy(Lane::Error, from).await
                } else {
                    Ok(())
                }
            };
            let _ = tokio::join!(lane(Lane::Output, output), error_lane);
        };
        let (outcome, ()) = tokio::join!(group.wait(&mut child), pumps);
        if let Some(feeding) = feeding {
            feeding.abort();
        }
        outcome
    }

    /// A terminal's session ends with its leader, whoever else still holds the terminal.
    async fn on_terminal(
        &self,
        mut child: Child,
        group: &Group,
        terminal: Terminal,
        queue: mpsc::UnboundedReceiver<Chunk>,
    ) -> Outcome {
        let feeding = tokio::spawn(pump::feed(queue, terminal.clone()));
        let copying = self.downlink.copy(Lane::Output, terminal.clone());
        tokio::pin!(copying);
        let outcome = tokio::select! {
            outcome = group.wait(&mut child) => outcome,
            _ = &mut copying => group.wait(&mut child).await,
        };
        let mut buffer = vec![0; 4096];
        loop {
            match terminal.rest(&mut buffer) {
                0 => break,
                count => {
                    if self
                        .downlink
                        .send(Lane::Output, buffer.get(..count).unwrap_or_default())
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
            }
        }
        feeding.abort();
        outcome
    }

    async fn tell(&self, outcome: Outcome) {
        let _ = self.handle.eof(self.channel).await;
        let _ = match outcome {
            Outcome::Exited(status) => self.handle.exit_status_request(self.channel, status).await,
            Outcome::Killed { signal, core_dumped } => {
                let (signal, text, language) = (outcome::name(signal), String::new(), String::new());
                self.handle
                    .exit_signal_request(self.channel, signal, core_dumped, text, language)
                    .await
            }
        };
        let _ = self.handle.close(self.channel).await;
    }
}
