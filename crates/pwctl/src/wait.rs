//! Waiting until a VM is as it was asked to be, or will not be.
//!
//! ```text
//!   events ──► look now ──┐
//!   every second ─────────┼─► GET the VM ─► judge(): reached · wait on · failed
//!   Ctrl-C, time limit ───┘
//! ```
//!
//! Events only say when to look; the VM as it is decides. So a lost event costs a second and nothing else.

use std::pin::pin;
use std::time::Duration;

use api::{Client, ClientError, Reason, Status, Vm};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;

/// How often the VM is looked at while no event comes. The clock on the progress line moves as often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Running,
    Stopped,
    /// One that runs has been told what is asked now; any other is told when it starts.
    Told,
    Gone,
}

impl Goal {
    /// Where a VM ends that is on or off as asked, once its host has done what else was asked of it.
    pub(crate) fn of_power(vm: &Vm) -> Self {
        match vm.power.as_str() {
            "off" => Self::Stopped,
            _ => Self::Running,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
            Self::Told => "told of it",
            Self::Gone => "gone",
        }
    }
}

/// What the VM as it is says about the goal.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    WaitOn,
    Failed,
    WrongTurn,
    Removed,
}

/// Waits until the VM is at the goal; `None` once it is gone. `asked` is the answer to the wish: what was seen
/// before its generation is no verdict on it.
pub(crate) async fn until(
    client: &Client,
    asked: &Vm,
    goal: Goal,
    limit: Duration,
    output: &Output,
) -> Result<Option<Vm>, Failure> {
    let mut progress = Progress::new(output.is_watched());
    let waiting = Waiting {
        client,
        id: asked.id.to_string(),
        generation: asked.generation,
        goal,
    };
    let outcome = tokio::select! {
        outcome = waiting.run(asked, limit, &mut progress) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { name: asked.name.clone() }),
    };
    progress.finish();
    outcome
}

struct Waiting<'a> {
    client: &'a Client,
    id: String,
    generation: u64,
    goal: Goal,
}

impl Waiting<'_> {
    async fn run(&self, asked: &Vm, limit: Duration, progress: &mut Progress) -> Result<Option<Vm>, Failure> {
        let deadline = Instant::now() + limit;
        let mut nudges = pin!(self.nudges());
        let mut vm = asked.clone();
        loop {
            progress.show(&vm);
            match judge(&vm, self.goal, self.generation) {
                Verdict::Reached => return Ok(Some(vm)),
                Verdict::Failed => return Err(failed(vm)),
                Verdict::WrongTurn => {
                    let (name, status) = (vm.name, vm.status);
                    return Err(Failure::WrongTurn {
                        name,
                        status,
                        wanted: self.goal.word(),
                    });
                }
                Verdict::Removed => return Err(Failure::VmVanished { name: vm.name }),
                Verdict::WaitOn => {}
            }
            if Instant::now() >= deadline {
                let (name, status) = (vm.name, vm.status);
                return Err(Failure::WaitedTooLong {
                    name,
                    status,
                    wanted: self.goal.word(),
                    seconds: limit.as_secs(),
                });
            }
            let look_at = deadline.min(Instant::now() + LOOK_AGAIN);
            self.rest(nudges.as_mut(), look_at, &vm.name, progress).await;
            vm = match self.client.vm_get(&self.id).await {
                Ok(vm) => vm,
                Err(error) if error.is_not_found() && self.goal == Goal::Gone => return Ok(None),
                Err(error) if error.is_not_found() => return Err(Failure::VmVanished { name: vm.name }),
                Err(error) if error.is_transport() && Instant::now() < deadline => vm,
                Err(error) => return Err(error.into()),
            };
        }
    }

    /// Rests until there is a reason to look, showing progress meanwhile.
    async fn rest(
        &self,
        mut nudges: std::pin::Pin<&mut impl Stream<Item = Nudge>>,
        until: Instant,
        name: &str,
        progress: &mut Progress,
    ) {
        loop {
            match tokio::time::timeout_at(until, nudges.next()).await {
                Ok(Some(Nudge::Progress(stage))) => progress.stage(name, Some(&stage)),
                Ok(Some(Nudge::Past)) => {}
                Ok(Some(Nudge::Change)) | Err(_) => return,
                // The events have ended, so the clock alone says when to look.
                Ok(None) => return tokio::time::sleep_until(until).await,
            }
        }
    }

    fn nudges(&self) -> impl Stream<Item = Nudge> + use<> {
        let generation = self.generation;
        let events = self.client.vm_events(&self.id, None);
        events.flat_map(move |received| stream::iter(nudge(received, generation)))
    }
}

enum Nudge {
    Progress(api::Stage),
    Change,
    Past,
}

fn nudge(received: Result<api::client::Received, ClientError>, generation: u64) -> Option<Nudge> {
    // A broken stream is no reason to give up: the VM is looked at by the clock as well.
    let event = received.ok()?.event;
    Some(match event.stage {
        Some(stage) => Nudge::Progress(stage),
        None if event.generation >= generation => Nudge::Change,
        None => Nudge::Past,
    })
}

fn judge(vm: &Vm, goal: Goal, generation: u64) -> Verdict {
    let is_settled = vm.settled_generation >= generation;
    match (goal, vm.status.known()) {
        (Goal::Gone, _) => Verdict::WaitOn,
        (Goal::Running | Goal::Stopped | Goal::Told, Some(Status::Deleting)) => Verdict::Removed,
        // What is tried again and again is never settled.
        (Goal::Told, Some(Status::Error)) => Verdict::Reached,
        // A wish that the host tries again and again is never settled; its people should hear why at once. What
        // failed under an older wish shows as INIT once this one is asked.
        (Goal::Running, Some(Status::Error)) if is_retried(vm) => Verdict::Failed,
        // What is seen now still speaks of an older wish.
        (Goal::Running | Goal::Stopped | Goal::Told, _) if !is_settled => Verdict::WaitOn,
        (Goal::Told, _) => Verdict::Reached,
        (Goal::Running, Some(Status::Running)) | (Goal::Stopped, Some(Status::Stopped)) => Verdict::Reached,
        (Goal::Running | Goal::Stopped, Some(Status::Error)) => Verdict::Failed,
        (Goal::Running, Some(Status::Stopped)) => Verdict::WrongTurn,
        (Goal::Running | Goal::Stopped, _) => Verdict::WaitOn,
    }
}

/// Whether the host tries it again by itself.
fn is_retried(vm: &Vm) -> bool {
    vm.reason.as_ref().is_some_and(|reason| reason.retried)
}

fn failed(vm: Vm) -> Failure {
    let unknown = || Reason {
        code: "unrecognised".into(),
        message: "its host gave no reason".into(),
        hint: format!("look at it with: pwctl get {}", vm.name),
        retried: false,
    };
    let reason = vm.reason.clone().unwrap_or_else(unknown);
    Failure::VmFailed {
        name: vm.name,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(status: &str, settled: u64, retried: bool) -> Vm {
        let reason = serde_json::json!({ "code": "x", "message": "m", "hint": "h", "retried": retried });
        let vm = serde_json::json!({
            "id": "vm_00000000000000000000000000", "name": "web", "status": status, "image": "i", "cpus": 1,
            "memory_bytes": 1, "disk_bytes": 1, "power": "on", "generation": 2, "settled_generation": settled,
            "reason": reason, "created_at": "2026-11-22T09:00:00Z"
        });
        serde_json::from_value(vm).unwrap()
    }

    #[test]
    fn the_verdicts() {
        use Goal::{Gone, Running, Stopped, Told};
        use Verdict::{Failed, Reached, Removed, WaitOn, WrongTurn};
        for (goal, status, settled, retried, expected) in [
            (Running, "INIT", 1, false, WaitOn),
            (Running, "RUNNING", 2, false, Reached),
            // As after stop and start in quick succession: it still runs, and is about to be stopped.
            (Running, "RUNNING", 1, false, WaitOn),
            (Running, "UNKNOWN", 1, false, WaitOn),
            (Running, "LEVITATING", 2, false, WaitOn),
            (Running, "ERROR", 1, false, WaitOn),
            (Running, "ERROR", 2, false, Failed),
            (Running, "ERROR", 1, true, Failed),
            (Stopped, "ERROR", 1, true, WaitOn),
            (Running, "STOPPED", 1, false, WaitOn),
            (Running, "STOPPED", 2, false, WrongTurn),
            (Running, "DELETING", 2, false, Removed),
            (Stopped, "STOPPING", 1, false, WaitOn),
            (Stopped, "STOPPED", 2, false, Reached),
            (Stopped, "ERROR", 2, false, Failed),
            (Told, "RUNNING", 1, false, WaitOn),
            (Told, "RUNNING", 2, false, Reached),
            (Told, "UNKNOWN", 1, false, WaitOn),
            (Told, "STOPPED", 2, false, Reached),
            (Told, "ERROR", 1, true, Reached),
            (Told, "DELETING", 2, false, Removed),
            (Gone, "RUNNING", 2, false, WaitOn),
            (Gone, "ERROR", 2, false, WaitOn),
        ] {
            assert_eq!(
                judge(&vm(status, settled, retried), goal, 2),
                expected,
                "{goal:?} {status} {settled} {retried}"
            );
        }
    }
}
