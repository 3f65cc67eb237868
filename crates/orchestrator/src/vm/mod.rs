//! One task owns one VM.
//!
//! ```text
//!   wishes ─► take ─► diff ─► steps ─► settle ─► rest ─┐
//!              ▲                                       │ a wish, the VMM's end, the guest's word, a retry
//!              └───────────────────────────────────────┘
//! ```
//!
//! Always holds: nobody else changes the VM; a slow step is given up as soon as a wish comes that makes it
//! pointless (removal, another power, a greater counter), and what it made is unmade first.

mod command;
mod ending;
mod failure;
mod machine;
mod steps;
mod talk;
mod usage;
mod view;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use driver::Exit;
use model::{Phase, Power, Reason, RequestId, Retry, VmBody, VmId};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use crate::boots::Turn;
use crate::calls::Reach;
use crate::diff::{Actual, diff};
use crate::guest::{GuestDoor, GuestLink, GuestState};
use crate::host::Host;
use crate::idle::Meter;
use crate::log::VmLog;
use crate::memory::{BootOutcome, FileError, VmRecord};
pub(crate) use ending::GuestEnd;
pub(crate) use failure::StepError;
pub(crate) use steps::erase;
pub(crate) use view::VmView;

/// What the host is told of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) placement: u64,
    pub(crate) generation: u64,
    pub(crate) remove: bool,
    /// `None`: as it was.
    pub(crate) body: Option<VmBody>,
    /// The request that asked for this generation.
    pub(crate) request: Option<RequestId>,
    /// The host is going down: end the VM in order, and begin the same boot again at the next start.
    pub(crate) suspend: bool,
}

impl Wish {
    /// Whether it was said before what stands in `record`, and so means nothing any more, removal included.
    fn is_older_than(&self, record: &VmRecord) -> bool {
        (self.placement, self.generation) < (record.placement, record.accepted)
    }
}

/// The way in to a VM's task.
pub(crate) struct VmHandle {
    pub(crate) wishes: watch::Sender<Wish>,
    pub(crate) view: watch::Receiver<VmView>,
    /// For calls.
    pub(crate) reach: Reach,
    /// Dropped with its service, so that no two services work on one VM in one process.
    pub(crate) task: AbortOnDropHandle<()>,
}

impl VmHandle {
    /// Tells the task what the plan says of its VM, unless it was told already.
    pub(crate) fn wish(&self, wish: Wish) {
        self.wishes.send_if_modified(|held| {
            let changed = !held.suspend && *held != wish;
            if changed {
                *held = wish;
            }
            changed
        });
    }
}

/// How a VM was found when its task starts.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// Its VMM runs.
    Running,
    /// Its VMM ended while nobody looked.
    Ended(Exit),
    /// No trace of a VMM.
    Absent,
    /// A plan names it for the first time.
    New,
}

pub(crate) struct VmTask {
    host: Arc<Host>,
    record: VmRecord,
    actual: Actual,
    wishes: watch::Receiver<Wish>,
    view: watch::Sender<VmView>,
    guest: Option<GuestLink>,
    door: GuestDoor,
    log: Arc<VmLog>,
    /// Failed attempts since the last success.
    attempts: u32,
    /// The record stands in the host's memory.
    written: bool,
    /// The VMM was started by an earlier orchestrator, so its guest may be up without having said so to this one.
    adopted: bool,
    /// How it is used in this boot, where it is to stop when it is not.
    meter: Option<Meter>,
    /// Its turn to boot, while it counts among those that do.
    turn: Option<Turn>,
}

/// Why a resting task goes on.
enum Woken {
    Wish,
    Ended(Exit),
    Guest,
    Retry,
}

impl VmTask {
    /// Starts the task of a VM.
    pub(crate) fn start(host: Arc<Host>, record: VmRecord, beginning: Beginning, suspend: bool) -> VmHandle {
        let wish = Wish {
            placement: record.placement,
            generation: record.accepted,
            remove: record.remove,
            body: None,
            request: record.request.clone(),
            suspend,
        };
        let (wishes, wishes_receiver) = watch::channel(wish);
        let (view, view_receiver) = watch::channel(VmView::of_record(&host, &record));
        let actual = Actual {
            running: matches!(beginning, Beginning::Running),
            ..Actual::default()
        };
        let door = GuestDoor::default();
        let folder = host.memory.vm_folder(record.id).join("log");
        let log = Arc::new(VmLog::new(folder, host.config.log));
        let reach = Reach {
            door: door.clone(),
            log: log.source(),
        };
        let task = Self {
            host,
            record,
            actual,
            wishes: wishes_receiver,
            view,
            guest: None,
            door,
            log,
            attempts: 0,
            written: !matches!(beginning, Beginning::New),
            adopted: actual.running,
            meter: None,
            turn: None,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run(beginning)));
        VmHandle {
            wishes,
            view: view_receiver,
            reach,
            task,
        }
    }

    async fn run(mut self, beginning: Beginning) {
        let span = self.span();
        self.begin(beginning).instrument(span).await;
        let mut goes_on = true;
        while goes_on {
            let taken = self.take_wish();
            let span = self.span();
            goes_on = self.round(taken).instrument(span).await.is_continue();
        }
    }

    /// What every log line of the VM carries. It is another with each wish, since the request is: what is recorded twice
    /// in one span stands twice in a line for people.
    fn span(&self) -> Span {
        let record = &self.record;
        let request = record.request.as_ref().map(RequestId::as_str);
        tracing::info_span!("vm", vm.id = %record.id, vm.name = %record.body.name, request.id = request)
    }

    async fn begin(&mut self, beginning: Beginning) {
        match beginning {
            Beginning::Running => self.connect_guest(),
            Beginning::Ended(exit) => self.ended(GuestEnd::unseen(exit)).await,
            Beginning::Absent | Beginning::New => {}
        }
    }

    /// Does what is left to do, or rests where that is nothing. Breaks where the VM needs its task no more.
    async fn round(&mut self, taken: Result<(), FileError>) -> ControlFlow<()> {
        if let Err(error) = taken {
            self.fail_for_now(error.into());
            self.rest(Some(self.host.config.retry_after)).await;
            return ControlFlow::Continue(());
        }
        if self.wishes.borrow().suspend {
            self.suspend().await;
            return ControlFlow::Break(());
        }
        let steps = diff(&self.record, self.actual);
        if steps.is_empty() {
            self.settle();
            self.rest(None).await;
            return ControlFlow::Continue(());
        }
        match self.carry_out(&steps).await {
            Ok(()) => {
                tracing::info!(?steps, "done");
                if self.record.remove {
                    return ControlFlow::Break(());
                }
                self.attempts = 0;
            }
            Err(StepError::Superseded) => tracing::info!("given up for a newer wish"),
            Err(error) => self.failed(error).await,
        }
        ControlFlow::Continue(())
    }

    /// Takes on the newest wish, written down before anything is done for it.
    fn take_wish(&mut self) -> Result<(), FileError> {
        let wish = self.wishes.borrow_and_update().clone();
        let newer = (wish.placement, wish.generation) > (self.record.placement, self.record.accepted)
            || (wish.remove && !self.record.remove);
        if self.written && (!newer || wish.is_older_than(&self.record)) {
            return Ok(());
        }
        let mut next = self.record.clone();
        next.placement = wish.placement.max(next.placement);
        next.accepted = wish.generation.max(next.accepted);
        next.remove = wish.remove;
        next.request = wish.request;
        if let Some(body) = wish.body {
            next.body = body;
        }
        // Removal is written in the plan already, and must work on a full disk.
        if !next.remove {
            self.host.memory.vm_write(&next)?;
        }
        self.written = true;
        self.record = next;
        self.attempts = 0;
        self.show(|view, record| view.accepted = record.accepted);
        Ok(())
    }

    /// Nothing is left to do: what is shown follows from the record.
    fn settle(&self) {
        let phase = match &self.record.outcome {
            BootOutcome::Begun => Phase::Running,
            BootOutcome::Off if self.record.boot == 0 && self.record.body.power == Power::On => {
                Phase::Accepted
            }
            BootOutcome::Off | BootOutcome::PoweredOff => Phase::Stopped,
            BootOutcome::Failed(_) => Phase::Failed,
        };
        let reason = match &self.record.outcome {
            BootOutcome::Failed(reason) => Some(reason.clone()),
            BootOutcome::Begun => self.outdated(),
            BootOutcome::Off | BootOutcome::PoweredOff => None,
        };
        let idle = self.idle();
        self.show(|view, record| {
            view.phase = phase;
            view.reason = reason;
            view.stage = None;
            view.boot = record.boot;
            view.powered_off = record.outcome == BootOutcome::PoweredOff;
            view.settled = record.accepted;
            view.idle = idle;
        });
    }

    async fn rest(&mut self, retry: Option<Duration>) {
        match self.woken(retry).await {
            Woken::Wish | Woken::Retry => {}
            Woken::Ended(exit) => {
                let end = self.end_of(exit).await;
                self.ended(end).await;
            }
            Woken::Guest => self.guest_spoke(),
        }
    }

    async fn woken(&mut self, retry: Option<Duration>) -> Woken {
        let id = self.record.id;
        let driver = self.host.driver.clone();
        let running = self.actual.running;
        let guest = self.guest.as_ref().map(GuestLink::watch);
        tokio::select! {
            changed = self.wishes.changed() => match changed {
                Ok(()) => Woken::Wish,
                // The service is gone, and with it everybody who could wish; the VM itself goes on.
                Err(_) => std::future::pending().await,
            },
            exit = driver.wait_ended(id), if running => Woken::Ended(exit),
            () = guest_changed(guest) => Woken::Guest,
            () = pause(retry) => Woken::Retry,
        }
    }

    /// The VMM ended by itself.
    async fn ended(&mut self, end: GuestEnd) {
        self.guest = None;
        let outcome = end.outcome(&self.record.body.name);
        tracing::info!(?outcome, "the VMM ended");
        self.actual = Actual {
            running: false,
            attached: self.actual.attached,
            ready: None,
        };
        if let Err(error) = self.unmake_runtime().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "traces of the ended VMM stay for the sweep"
            );
        }
        self.record_outcome(outcome);
    }

    fn guest_spoke(&mut self) {
        let Some(state) = self.guest.as_mut().map(GuestLink::take_news) else {
            return;
        };
        self.actual.ready = state.ready.as_ref().map(|ready| ready.config_revision);
        self.hear_usage(&state);
        self.show_guest(&state);
    }

    /// A step failed: time may mend it, or it is written down until something else is asked.
    async fn failed(&mut self, error: StepError) {
        if let StepError::VmmEnded(end) = error {
            return self.ended(end).await;
        }
        let reason = error.reason(&self.record.body.name);
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            reason = reason.code.as_str(),
            "a step failed"
        );
        self.attempts = self.attempts.saturating_add(1);
        if reason.retry == Retry::Later || self.record.remove {
            let pause = self.host.config.retry_after * (1 << self.attempts.min(6).saturating_sub(1));
            self.fail_for_now(reason);
            self.rest(Some(pause)).await;
        } else if self.actual.running {
            // A VM that was taken over and does not speak may still serve its people: it is shown, not ended.
            self.fail_for_now(reason);
            self.rest(None).await;
        } else {
            self.record.boot = self.record.body.boot;
            if self.record.body.rootfs > self.record.rootfs {
                self.record.rootfs_failed = self.record.body.rootfs;
            }
            self.record_outcome(BootOutcome::Failed(reason));
        }
    }

    fn fail_for_now(&self, reason: Reason) {
        self.show(|view, record| {
            view.phase = if record.remove {
                Phase::Removing
            } else {
                Phase::Failed
            };
            view.reason = Some(reason);
            view.stage = None;
        });
    }

    fn record_outcome(&mut self, outcome: BootOutcome) {
        self.record.outcome = outcome;
        if self.record.remove {
            return;
        }
        if let Err(error) = self.host.memory.vm_write(&self.record) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the outcome of the boot is not written down"
            );
        }
    }

    /// Ends the guest in order and leaves everything asked as it is, so that the next start begins the same boot
    /// again.
    async fn suspend(&mut self) {
        if self.actual.running {
            self.stop_guest().await;
        }
        if let Err(error) = self.unmake_runtime().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the VM's run-time traces stay"
            );
        }
    }

    /// Changes what is reported, and has it reported if that changed anything.
    fn show(&self, change: impl FnOnce(&mut VmView, &VmRecord)) {
        let changed = self.view.send_if_modified(|view| {
            let before = view.clone();
            change(view, &self.record);
            *view != before
        });
        if changed {
            self.host.changed.notify_one();
        }
    }

    fn show_guest(&self, state: &GuestState) {
        self.show(|view, _| {
            if let Some(ready) = &state.ready {
                view.ssh_port = Some(ready.ssh_port);
                view.host_keys.clone_from(&ready.host_keys);
            }
            view.service.clone_from(&state.service);
        });
    }

    /// The VM.
    fn id(&self) -> VmId {
        self.record.id
    }
}

async fn guest_changed(guest: Option<watch::Receiver<GuestState>>) {
    let gone = match guest {
        Some(mut guest) => guest.changed().await.is_err(),
        None => true,
    };
    if gone {
        std::future::pending().await
    }
}

async fn pause(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}
