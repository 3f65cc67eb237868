//! The loop that PID 1 stays in: it listens to the host, to signals, to the SSH child and to the workload.
//!
//! ```text
//!                Config          child reports Ready
//!   Waiting ───────────► Up(starting) ─────────────► Up(ready) ◄─┐ newer Config, child ended
//!      │ a step fails                                    └───────┘
//!      ▼
//!   Failed                 Stop, or a signal, ends each of them
//! ```

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use model::ProgramEnd;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::event::{Timespec, epoll};
use wire::guest::{Config, GuestFrame, GuestHello, HostFrame, PROTOCOL, PowerOffKind, Ready};
use wire::stream::{FailureCode, Open};

use super::boot::{self, Machine, Made};
use super::clock::Clock;
use super::control::Port;
use super::error::{Error, chain};
use super::initctl::Initctl;
use super::ssh_child::{Report, SshChild};
use super::workload::Workload;
use super::{entropy, identity, kmsg, shutdown, signals, streams};
use crate::memory;

/// What processes get when the machine is stopped from inside, where nobody names a grace period.
const GRACE_FROM_INSIDE: Duration = Duration::from_secs(10);

/// The first protocol version in which a host hears how the machine is used.
const USAGE: u32 = 3;

enum State {
    Waiting,
    Failed { code: String, message: String },
    Up(Box<Up>),
}

struct Up {
    config: Config,
    made: Made,
    child: Option<SshChild>,
    start_again_at: Option<Instant>,
    ready: Option<Ready>,
    workload: Workload,
    /// Why the newest configuration is not in force.
    refused: Option<(String, String)>,
}

struct Guest {
    epoll: OwnedFd,
    signals: SignalFd,
    port: Port,
    clock: Clock,
    state: State,
    /// The kernel's: another one means another boot.
    boot_id: String,
    /// When to count as idle, unless the host wants something first.
    rest_at: Option<Instant>,
}

/// How a machine is to end, and how patiently.
struct Ending {
    kind: PowerOffKind,
    grace: Duration,
}

/// Runs the machine to its ordered end.
pub(super) fn run(machine: Machine) -> PowerOffKind {
    match Guest::new(machine) {
        Ok(mut guest) => {
            let ending = guest.supervise();
            guest.end(&ending);
            ending.kind
        }
        Err(error) => {
            kmsg::problem(&error);
            shutdown::pause();
            PowerOffKind::Off
        }
    }
}

impl Guest {
    fn new(machine: Machine) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::Descriptor("poll descriptor", errno.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let Machine { port, signals } = machine;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&epoll, &signals, data, epoll::EventFlags::IN).map_err(failed)?;
        // A port without a host is in a permanent hang-up; only its changes are news.
        let changes = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&epoll, &port, data, changes).map_err(failed)?;
        Ok(Self {
            epoll,
            signals,
            port,
            clock: Clock::default(),
            state: State::Waiting,
            boot_id: boot_id(),
            rest_at: None,
        })
    }

    fn supervise(&mut self) -> Ending {
        loop {
            for frame in self.port.receive() {
                if let Some(ending) = self.obey(frame) {
                    return ending;
                }
            }
            if let Some(kind) = self.asked_from_inside() {
                return Ending {
                    kind,
                    grace: GRACE_FROM_INSIDE,
                };
            }
            self.tend_children();
            self.rest();
            self.wait(self.timeout());
        }
    }

    /// Waits until something happens or this time is over.
    fn wait(&mut self, limit: Option<Timespec>) {
        let mut events = Vec::with_capacity(8);
        let _ = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            limit.as_ref(),
        );
        if let State::Up(up) = &mut self.state {
            for event in events {
                up.workload.note_ready(event.data.u64());
            }
        }
    }

    /// Whether somebody in the machine asks for its end.
    fn asked_from_inside(&self) -> Option<PowerOffKind> {
        let over_pipe = match &self.state {
            State::Up(up) => up.made.initctl.as_ref().and_then(Initctl::drain),
            State::Waiting | State::Failed { .. } => None,
        };
        signals::drain(&self.signals).or(over_pipe)
    }

    fn obey(&mut self, frame: HostFrame) -> Option<Ending> {
        match frame {
            HostFrame::Hello(hello) => {
                self.clock.greeted(hello.host_time_unix_ns);
                if let Some(seed) = &hello.seed {
                    entropy::feed(seed);
                }
                self.port.greeted(&hello);
                self.introduce();
            }
            HostFrame::Config(config) => self.configure(*config),
            HostFrame::Stop { grace } => {
                return Some(Ending {
                    kind: PowerOffKind::Off,
                    grace,
                });
            }
            HostFrame::Ping { n } => self.port.send(&GuestFrame::Pong { n }),
            HostFrame::Time { unix_ns } => self.clock.told(unix_ns),
            HostFrame::LogHeld { boot_id, offset } => {
                if let State::Up(up) = &mut self.state {
                    up.workload.held(&boot_id, offset);
                }
            }
            HostFrame::Open { stream, open } => self.open(stream, open),
            HostFrame::Input { stream, input } => {
                if let State::Up(up) = &mut self.state {
                    up.workload.input(stream, input, &mut self.port);
                }
            }
        }
        None
    }

    /// Makes the process small again when it has been idle for a while.
    fn rest(&mut self) {
        if self.rest_at.take_if(|at| *at <= Instant::now()).is_some() {
            memory::give_back_program();
        }
    }

    fn open(&mut self, stream: u32, open: Open) {
        self.rest_at = Instant::now().checked_add(memory::REST);
        match &mut self.state {
            State::Up(up) => up.workload.open(stream, open, &self.epoll, &mut self.port),
            State::Waiting | State::Failed { .. } => {
                let output = streams::failed(FailureCode::NotRunning, "the machine is not up");
                self.port.send(&GuestFrame::Output { stream, output });
            }
        }
    }

    /// A host that comes back learns everything, whatever it has missed.
    fn introduce(&mut self) {
        self.port.send(&GuestFrame::Hello(GuestHello {
            protocol_min: PROTOCOL.0,
            protocol_max: PROTOCOL.1,
            powerunit_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.clone(),
        }));
        match &mut self.state {
            State::Failed { code, message } => {
                self.port.send(&GuestFrame::Failed {
                    code: code.clone(),
                    message: message.clone(),
                });
            }
            State::Up(up) => {
                if let Some(ready) = &up.ready {
                    self.port.send(&GuestFrame::Ready(ready.clone()));
                }
                if let Some((code, message)) = up.refused.clone() {
                    self.port.send(&GuestFrame::Failed { code, message });
                }
                up.workload.greeted(&mut self.port);
            }
            State::Waiting => {}
        }
    }

    fn configure(&mut self, config: Config) {
        match &mut self.state {
            State::Waiting => match boot::make(&config, &mut self.port) {
                Ok(made) => {
                    if let Some(initctl) = &made.initctl {
                        let data = epoll::EventData::new_u64(0);
                        let _ = epoll::add(&self.epoll, initctl, data, epoll::EventFlags::IN);
                    }
                    let up = Up {
                        workload: Workload::of(&config, &self.boot_id, &self.epoll),
                        config,
                        made,
                        child: None,
                        start_again_at: Some(Instant::now()),
                        ready: None,
                        refused: None,
                    };
                    self.state = State::Up(Box::new(up));
                }
                Err(error) => self.fail(&error),
            },
            State::Up(up) if config.revision > up.config.revision => {
                identity::apply(&config, Some(&up.config), &up.made.layers.image);
                if let Some(child) = &mut up.child {
                    child.tell(&config);
                }
                up.workload.renew(&config);
                up.config = config;
            }
            State::Up(_) | State::Failed { .. } => {}
        }
    }

    fn fail(&mut self, error: &Error) {
        kmsg::problem(error);
        let (code, message) = (error.code().to_owned(), chain(error));
        self.port.send(&GuestFrame::Failed {
            code: code.clone(),
            message: message.clone(),
        });
        self.state = State::Failed { code, message };
    }

    /// Buries the dead, starts what is missing, and passes on what the children report.
    fn tend_children(&mut self) {
        let State::Up(up) = &mut self.state else {
            self.port.flush();
            signals::reap(|_, _| {});
            return;
        };
        // Read before burying: a child may have reported and died.
        let reports = up.child.as_mut().map(SshChild::reports).unwrap_or_default();
        signals::reap(|pid, end| up.note_end(pid, end));
        if up.start_again_at.is_some_and(|at| at <= Instant::now()) {
            up.start_child(&self.epoll);
        }
        for report in reports {
            let is_said_often = matches!(report, Report::Usage(_));
            up.announce(report, &mut self.port);
            if !is_said_often {
                self.rest_at = Instant::now().checked_add(memory::REST);
                // Only now, so that the service does not take the processor from the first login.
                up.workload.begin();
            }
        }
        up.workload.tend(&self.epoll, &mut self.port);
    }

    fn timeout(&self) -> Option<Timespec> {
        let State::Up(up) = &self.state else { return None };
        let due = [up.start_again_at, up.workload.due(), self.rest_at]
            .into_iter()
            .flatten()
            .min()?;
        Timespec::try_from(due.saturating_duration_since(Instant::now())).ok()
    }

    /// Asks the service to end before anything else is, and waits for it within the grace period. Returns what is left
    /// of that.
    fn stop_service(&mut self, grace: Duration) -> Duration {
        let start = Instant::now();
        if let State::Up(up) = &mut self.state {
            up.workload.stop();
        }
        loop {
            let State::Up(up) = &mut self.state else {
                return grace;
            };
            signals::reap(|pid, end| up.workload.note_end(pid, end));
            up.workload.tend(&self.epoll, &mut self.port);
            let left = grace.saturating_sub(start.elapsed());
            if left.is_zero() || !up.workload.runs() {
                return left;
            }
            let due = up.workload.due();
            let pause = due.map_or(left, |due| {
                due.saturating_duration_since(Instant::now()).min(left)
            });
            self.wait(Timespec::try_from(pause).ok());
            signals::drain(&self.signals);
        }
    }

    fn end(&mut self, ending: &Ending) {
        self.port.send(&GuestFrame::Stopping);
        let left = self.stop_service(ending.grace);
        shutdown::end_processes(&self.signals, left);
        let upper = if let State::Up(up) = &mut self.state {
            up.workload.finish(&mut self.port);
            Some(&up.made.layers.upper)
        } else {
            None
        };
        shutdown::settle_disks(upper);
        shutdown::hang_up();
        self.port.send_last(&GuestFrame::PoweredOff { kind: ending.kind });
    }
}

impl Up {
    /// Tells the host what is new in a report: the first, each newer revision, and what could not be.
    fn announce(&mut self, report: Report, port: &mut Port) {
        let ready = match report {
            Report::Ready(ready) => ready,
            Report::Usage(usage) => {
                if port.version() >= Some(USAGE) {
                    port.send(&GuestFrame::Usage(usage));
                }
                return;
            }
            Report::Refused { code, message } => {
                port.send(&GuestFrame::Failed {
                    code: code.clone(),
                    message: message.clone(),
                });
                self.refused = Some((code, message));
                return;
            }
        };
        let known = self.ready.as_ref().map(|ready| ready.config_revision);
        if known == Some(ready.config_revision) {
            return;
        }
        match known {
            None => boot::stage(port, "ssh"),
            Some(_) => port.send(&GuestFrame::ConfigApplied {
                revision: ready.config_revision,
            }),
        }
        port.send(&GuestFrame::Ready(ready.clone()));
        self.ready = Some(ready);
        self.refused = None;
    }

    fn note_end(&mut self, pid: Pid, end: ProgramEnd) {
        self.workload.note_end(pid, end);
        if let Some(child) = self.child.take_if(|child| child.is(pid)) {
            kmsg::note("the SSH server ended; starting it again");
            self.start_again_at = Instant::now().checked_add(child.pause());
            // A server that cannot run does not keep the service from it.
            self.workload.begin();
        }
    }

    fn start_child(&mut self, epoll: &OwnedFd) {
        let started =
            SshChild::start(&self.made.listener, &self.made.layers.image, &self.config).and_then(|child| {
                let data = epoll::EventData::new_u64(0);
                let watched = epoll::add(epoll, &child, data, epoll::EventFlags::IN | epoll::EventFlags::ET);
                watched
                    .map_err(|errno| Error::Spawn(errno.into()))
                    .map(|()| child)
            });
        match started {
            Ok(child) => {
                self.child = Some(child);
                self.start_again_at = None;
            }
            Err(error) => {
                kmsg::problem(&error);
                self.start_again_at = Instant::now().checked_add(Duration::from_millis(500));
            }
        }
    }
}

/// The kernel's random name of this boot (random(4)).
fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}
