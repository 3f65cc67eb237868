//! One channel: what the client set up before, then the program, its bytes and its end.
//!
//! ```text
//!   pty-req, env … ─► Waiting ── shell or exec ─► Running ── program ends ─► rest of output, status, eof, close
//!                                                   └── channel goes first ─► SIGHUP to the program's session
//! ```

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf};
use rustix::termios::Winsize;
use tokio::io::AsyncWrite;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

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
    /// The socket of the client's key agent.
    agent: Option<PathBuf>,
    input: Option<mpsc::UnboundedSender<Chunk>>,
    running: Option<Running>,
    task: Option<JoinHandle<()>>,
    /// Never used; its end tells the task that the channel is gone.
    open: Option<oneshot::Sender<Infallible>>,
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
            agent: None,
            input: None,
            running: None,
            task: None,
            open: None,
        }
    }

    /// Whether the program has ended and the client was told.
    pub(super) fn has_ended(&self) -> bool {
        self.task.as_ref().is_some_and(JoinHandle::is_finished)
    }

    pub(super) fn set_terminal(&mut self, request: pty::Request) {
        self.terminal = Some(request);
    }

    pub(super) fn set_agent(&mut self, socket: PathBuf) {
        self.agent = Some(socket);
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
        let ending = Ending {
            channel: self.channel,
            handle: self.handle.clone(),
            downlink,
        };
        self.task = Some(match self.spawn(task, &account, context) {
            Ok((child, terminal)) => {
                let group = Group::of(&child);
                let (input, queue) = mpsc::unbounded_channel();
                self.input = Some(input);
                self.running = Some(Running {
                    group: group.clone(),
                    terminal: terminal.clone(),
                });
                let (open, gone) = oneshot::channel();
                self.open = Some(open);
                tokio::spawn(ending.follow(child, group, terminal, queue, gone))
            }
            Err(text) => tokio::spawn(ending.refuse(text)),
        });
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
        let everybody = environment::of_everybody();
        let mut environment = environment::compose(
            &everybody,
            image,
            account,
            shell.as_deref(),
            &self.sent,
            context.ends,
        );
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
        environment.extend(
            self.agent
                .iter()
                .map(|socket| ("SSH_AUTH_SOCK".into(), socket.into())),
        );
        let child = process::start(&plan, account, environment, inside);
        let child = child.map_err(|error| format!("{}: {error}", plan.path.display()))?;
        Ok((child, terminal))
    }

    pub(super) fn input(&self, bytes: &[u8]) {
        if let Some(input) = &self.input {
            let _ = input.send(self.gate.chunk(Bytes::copy_from_slice(bytes)));
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
    /// The channel is gone. A program that has ended is not there to be told, and one that goes on finds its pipes or
    /// its terminal closed.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.group.hang_up();
        }
    }
}

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(Arc::new(AtomicI32::new(pid.unwrap_or(0))))
    }

    /// The program, which began a session, so that group and process have one number.
    fn leader(&self) -> Option<Pid> {
        let number = self.0.load(Ordering::Relaxed);
        (number != 0).then(|| Pid::from_raw(number))
    }

    /// Signals the whole group.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.leader() {
            let _ = killpg(group, signal);
        }
    }

    /// Only the program itself: what it put in the background, such as an editor's remote half, is to be found again
    /// by the next connection. Closing a terminal tells those that the terminal's rules tell.
    fn hang_up(&self) {
        if let Some(leader) = self.leader() {
            let _ = kill(leader, Signal::SIGHUP);
            let _ = kill(leader, Signal::SIGCONT);
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
    async fn follow(
        self,
        mut child: Child,
        group: Group,
        terminal: Option<Terminal>,
        queue: mpsc::UnboundedReceiver<Chunk>,
        gone: oneshot::Receiver<Infallible>,
    ) {
        let ended = async {
            match terminal {
                Some(terminal) => self.on_terminal(&mut child, &group, terminal, queue).await,
                None => self.on_pipes(&mut child, &group, queue).await,
            }
        };
        // What is given up here closes the program's pipes or its terminal.
        let outcome = tokio::select! {
            outcome = ended => Some(outcome),
            _ = gone => None,
        };
        let Some(outcome) = outcome else {
            group.wait(&mut child).await;
            return;
        };
        self.tell(outcome).await;
    }

    async fn refuse(self, text: String) {
        let line = format!("powerunit: {text}\r\n");
        let _ = self.downlink.send(Lane::Error, line.into()).await;
        self.tell(Outcome::Exited(outcome::NOT_FOUND)).await;
    }

    /// Output ends when nobody holds the pipes any more, which may be later than the program, as with any SSH server.
    async fn on_pipes(
        &self,
        child: &mut Child,
        group: &Group,
        queue: mpsc::UnboundedReceiver<Chunk>,
    ) -> Outcome {
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (outcome, _, _) = while_feeding(queue, input, async {
            tokio::join!(
                group.wait(child),
                self.downlink.copy_some(Lane::Output, output),
                self.downlink.copy_some(Lane::Error, errors),
            )
        })
        .await;
        outcome
    }

    /// A terminal's session ends with its leader, whoever else still holds the terminal.
    async fn on_terminal(
        &self,
        child: &mut Child,
        group: &Group,
        terminal: Terminal,
        queue: mpsc::UnboundedReceiver<Chunk>,
    ) -> Outcome {
        let copying = self.downlink.copy(Lane::Output, terminal.clone());
        let ended = async {
            tokio::pin!(copying);
            tokio::select! {
                outcome = group.wait(child) => outcome,
                _ = &mut copying => group.wait(child).await,
            }
        };
        let outcome = while_feeding(queue, Some(terminal.clone()), ended).await;
        let mut buffer = vec![0; 4096];
        loop {
            let rest = terminal.rest(&mut buffer);
            let bytes = Bytes::copy_from_slice(buffer.get(..rest).unwrap_or_default());
            if bytes.is_empty() || self.downlink.send(Lane::Output, bytes).await.is_err() {
                return outcome;
            }
        }
    }

    /// The status goes first: a client closes its side as soon as it has seen both ends of file, and would not hear it.
    async fn tell(&self, outcome: Outcome) {
        let _ = match outcome {
            Outcome::Exited(status) => self.handle.exit_status_request(self.channel, status).await,
            Outcome::Killed { signal, core_dumped } => {
                let (signal, text, language) = (outcome::name(signal), String::new(), String::new());
                self.handle
                    .exit_signal_request(self.channel, signal, core_dumped, text, language)
                    .await
            }
        };
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }
}

/// Does the work while the program gets its input. The end of the work ends that too; the end of input does not.
async fn while_feeding<T>(
    queue: mpsc::UnboundedReceiver<Chunk>,
    input: Option<impl AsyncWrite + Unpin>,
    work: impl Future<Output = T>,
) -> T {
    let feeding = async {
        if let Some(input) = input {
            pump::feed(queue, input).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        done = work => done,
        never = feeding => match never {},
    }
}
