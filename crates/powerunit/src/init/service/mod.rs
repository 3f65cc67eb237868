//! The image's command, supervised.
//!
//! ```text
//!   Waiting ── SSH had its turn ──► Running ── ends ──► Backoff decides ─┬─► Ended
//!      └ cannot be started ┐           ▲                                 └─► BackingOff
//!                          ▼           └──────────── pause over ─────────────┘
//!                        Failed
//! ```
//!
//! Always holds: the machine stays up whatever the service does; SSH never waits for it; a newer configuration of it
//! holds from its next start on.

mod backoff;
mod cgroup;

use std::process::Stdio;
use std::time::{Duration, Instant};

use model::{ProgramEnd, ServiceSeen, ServiceState};
use nix::libc;
use nix::unistd::Pid;
use wire::guest::{Config, ImageDefaults};

use super::error::chain;
use super::kmsg;
use super::log::Log;
use crate::launch::{self, NotStarted, Program, Setting};
use crate::signal;
use backoff::{Decision, ORDINARY};

/// What is to run, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    service: wire::guest::Service,
    image: ImageDefaults,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Running {
        pid: Pid,
        since: Instant,
        /// The pause before this run.
        after: Option<Duration>,
    },
    BackingOff {
        until: Instant,
        pause: Duration,
    },
    Ended,
    Failed {
        message: String,
    },
}

/// The service of a machine that has one.
#[derive(Debug)]
pub(super) struct Service {
    wanted: Wanted,
    phase: Phase,
    exit: Option<ProgramEnd>,
    restarts: u32,
    /// The machine is on its way down: nothing is started any more.
    stopping: bool,
    /// Something changed that the host was not told.
    is_news: bool,
}

impl Service {
    /// The service of a configuration, not started yet.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            wanted: Wanted::of(config)?,
            phase: Phase::Waiting,
            exit: None,
            restarts: 0,
            stopping: false,
            is_news: false,
        })
    }

    /// Takes a newer configuration, for the next start.
    pub(super) fn renew(&mut self, config: &Config) {
        let Some(wanted) = Wanted::of(config) else { return };
        if wanted != self.wanted {
            kmsg::note("the service has another configuration; it holds from its next start on");
            self.wanted = wanted;
        }
    }

    /// Starts it for the first time.
    pub(super) fn begin(&mut self, log: &Log) {
        if matches!(self.phase, Phase::Waiting) && !self.stopping {
            self.start(log, None);
        }
    }

    /// Starts it again where its pause is over.
    pub(super) fn tend(&mut self, log: &Log) {
        let Phase::BackingOff { until, pause } = self.phase else {
            return;
        };
        if until <= Instant::now() {
            // What the last run left behind holds its ports and files.
            cgroup::kill_rest();
            self.restarts = self.restarts.saturating_add(1);
            self.start(log, Some(pause));
        }
    }

    /// When [`Service::tend`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::BackingOff { until, .. } => Some(until),
            Phase::Waiting | Phase::Running { .. } | Phase::Ended | Phase::Failed { .. } => None,
        }
    }

    /// Takes the end of a process; says whether it was the service.
    pub(super) fn note_end(&mut self, ended: Pid, end: ProgramEnd) -> bool {
        let Phase::Running { pid, since, after } = self.phase else {
            return false;
        };
        if pid != ended {
            return false;
        }
        self.exit = Some(end);
        let decision = match self.stopping {
            true => Decision::Stay,
            false => ORDINARY.next(self.wanted.service.restart, end, since.elapsed(), after),
        };
        self.change(match decision {
            Decision::Stay => Phase::Ended,
            Decision::After(pause) => Phase::BackingOff {
                until: since_now(pause),
                pause,
            },
        });
        true
    }

    /// Asks it to end, by its stop signal to its process group, and starts it no more.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        match self.phase {
            Phase::Running { pid, .. } => {
                let wanted = signal::number(&self.wanted.service.stop_signal);
                signal::send_to_group(pid, wanted.unwrap_or(libc::SIGTERM));
                // What is stopped must run to obey anything.
                signal::send_to_group(pid, libc::SIGCONT);
            }
            Phase::BackingOff { .. } => self.change(Phase::Ended),
            Phase::Waiting | Phase::Ended | Phase::Failed { .. } => {}
        }
    }

    /// Whether its main process lives.
    pub(super) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// How it is, if that changed since the last call.
    pub(super) fn news(&mut self) -> Option<ServiceSeen> {
        std::mem::take(&mut self.is_news).then(|| self.seen())?
    }

    /// How it is; `None` before its first start.
    pub(super) fn seen(&self) -> Option<ServiceSeen> {
        let (state, message) = match &self.phase {
            Phase::Waiting => return None,
            Phase::Running { .. } => (ServiceState::Running, None),
            Phase::BackingOff { .. } => (ServiceState::BackingOff, None),
            Phase::Ended => (ServiceState::Ended, None),
            Phase::Failed { message } => (ServiceState::Failed, Some(message.clone())),
        };
        Some(ServiceSeen {
            state,
            exit: self.exit,
            restarts: self.restarts,
            message,
        })
    }

    fn start(&mut self, log: &Log, after: Option<Duration>) {
        self.change(match self.wanted.spawn(log) {
            Ok(pid) => Phase::Running {
                pid,
                since: Instant::now(),
                after,
            },
            Err(error) => {
                kmsg::problem(&error);
                Phase::Failed {
                    message: chain(&error),
                }
            }
        });
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.is_news = true;
    }
}

impl Wanted {
    fn of(config: &Config) -> Option<Self> {
        Some(Self {
            service: config.service.clone()?,
            image: config.image.clone(),
        })
    }

    fn spawn(&self, log: &Log) -> Result<Pid, NotStarted> {
        let program = Program {
            arguments: &self.service.arguments,
            env: &self.image.env,
            working_dir: &self.image.working_dir,
            user: &self.image.user,
        };
        let (mut command, account) = program.command()?;
        let (stdout, stderr) = log.inlets().map_err(NotStarted::Plumbing)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let setting = Setting {
            cgroup: cgroup::entrance(),
            ..Setting::default()
        };
        launch::enter(&mut command, &account, setting);
        let child = command.spawn().map_err(|error| program.not_run(error))?;
        Ok(Pid::from_raw(child.id().cast_signed()))
    }
}

fn since_now(pause: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(pause).unwrap_or(now)
}
