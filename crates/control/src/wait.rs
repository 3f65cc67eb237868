//! Waiting for a status.
//!
//! Only what was seen of the generation that is waited for counts: a VM that runs while its restart is still on its way
//! to the host is not yet what was asked for. A commit that touches the VM wakes who waits, and so does one that takes a
//! right away; nobody asks the memory meanwhile.
//!
//! One that is gone is known by its id for as long as its last event is kept, to those who could see it at its end.

use std::time::Duration;

use model::{Asked, Problem, ProblemCode, Seen, Status};
use store::Read;
use tokio::time::{Instant, sleep, sleep_until};

use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// This status.
    Status(Status),
    /// That the VM is gone.
    Deleted,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// Whether it came about in time.
    pub reached: bool,
    /// The VM at the end; `None` once it is gone.
    pub vm: Option<VmView>,
}

/// What a look at the VM says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    NotYet,
    Never,
}

impl Control {
    /// Waits until a VM has a status that was seen at a generation or later; where none is given, the one that is
    /// asked for now.
    ///
    /// # Errors
    /// There is no such VM, what is waited for cannot come about by itself, or the caller may not wait any longer: the
    /// token is revoked or expired, the user disabled, or the right taken away.
    pub async fn vm_wait(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        (wanted, generation): (WaitFor, Option<u64>),
        limit: Duration,
    ) -> Result<Waited, Error> {
        let until = Instant::now() + limit;
        let found = match self.look(caller, selector, wanted).await? {
            Some(vm) => vm,
            None => return Ok(GONE),
        };
        let (id, generation) = (found.asked.id, generation.unwrap_or(found.asked.generation));
        let mut wait = self.inner.news.wait(id);
        let mut rights = self.inner.news.rights();
        loop {
            rights.borrow_and_update();
            // What happened before it was waited for is seen by this look.
            let caller = self
                .caller_now(&mut self.inner.store.read().await?, caller)
                .await?;
            let Some(vm) = self.look(&caller, &id.into(), wanted).await? else {
                return Ok(GONE);
            };
            match verdict(wanted, generation, &vm) {
                Verdict::Reached => return Ok(ended(true, vm)),
                Verdict::Never => return Err(impossible(&vm).into()),
                Verdict::NotYet => {}
            }
            tokio::select! {
                () = wait.touched() => {}
                _ = rights.changed() => {}
                () = sleep(self.until_expiry(&caller)) => {}
                () = sleep_until(until) => return Ok(ended(false, vm)),
            }
        }
    }

    /// The VM; `None` where it is gone and that is what is waited for.
    async fn look(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        wanted: WaitFor,
    ) -> Result<Option<VmView>, Error> {
        let mut read = self.inner.store.read().await?;
        match vm_find(&mut read, caller, selector, Operation::VmWait).await {
            Ok(vm) => Ok(Some(self.view(vm))),
            Err(error) if wanted == WaitFor::Deleted && error.problem.code == ProblemCode::NotFound => {
                match was_seen_to_its_end(&mut read, caller, selector).await? {
                    true => Ok(None),
                    false => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a VM is gone that the caller could see until then.
async fn was_seen_to_its_end(read: &mut Read, caller: &Caller, selector: &VmSelector) -> Result<bool, Error> {
    let VmSelector::Id(id) = selector else {
        // A name is free again, and means whatever has it next.
        return Ok(false);
    };
    let audience = read.last_audience_fetch(*id).await?;
    Ok(audience.is_some_and(|audience| caller.is_admin() || audience.contains(&caller.user)))
}

const GONE: Waited = Waited {
    reached: true,
    vm: None,
};

const fn ended(reached: bool, vm: VmView) -> Waited {
    Waited {
        reached,
        vm: Some(vm),
    }
}

fn verdict(wanted: WaitFor, generation: u64, vm: &VmView) -> Verdict {
    let counts = is_seen_at(generation, vm.status, &vm.asked, vm.seen.as_ref());
    if wanted == WaitFor::Status(vm.status) && counts {
        return Verdict::Reached;
    }
    match vm.status {
        Status::Deleting if wanted != WaitFor::Deleted && wanted != WaitFor::Status(Status::Deleting) => {
            Verdict::Never
        }
        Status::Error if counts && wanted != WaitFor::Deleted => Verdict::Never,
        Status::Init
        | Status::BuildingFilesystem
        | Status::Booting
        | Status::Running
        | Status::Stopping
        | Status::Stopped
        | Status::Error
        | Status::Deleting
        | Status::Unknown => Verdict::NotYet,
    }
}

/// Whether a status speaks of a generation or a later one. A status that stays must be what the host has settled on; one
/// on the way, what it has begun; and one that no host was asked about follows from what is asked alone.
fn is_seen_at(generation: u64, status: Status, asked: &Asked, seen: Option<&Seen>) -> bool {
    let at = match status {
        Status::Running | Status::Stopped | Status::Error => seen.map_or(0, |seen| seen.settled),
        Status::BuildingFilesystem | Status::Booting | Status::Stopping => {
            seen.map_or(0, |seen| seen.accepted)
        }
        Status::Init | Status::Deleting | Status::Unknown => asked.generation,
    };
    at >= generation
}

fn impossible(vm: &VmView) -> Problem {
    let name = format!("{}.{}", vm.asked.body.name, vm.owner.name);
    let problem = |why: String| Problem::new(ProblemCode::WaitImpossible, format!("{name} {why}"));
    match &vm.reason {
        Some(reason) => problem(format!("is in ERROR: {}", reason.message)).hint(reason.hint.clone()),
        None if vm.status == Status::Deleting => {
            problem("is being removed".to_owned()).hint("wait for DELETED, or create it again")
        }
        None => problem("is in ERROR".to_owned()).hint("start it again, or remove it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::World;

    /// What a look says of a running VM at generation 3 whose host has told this.
    async fn look(status: Status, (accepted, settled): (u64, u64), wanted: WaitFor) -> Verdict {
        let (world, mut host) = World::with_host().await;
        world.create("web").await;
        world.round(&mut host).await;
        let mut vm = world.list().await.remove(0);
        vm.status = status;
        vm.asked.generation = 3;
        let seen = vm.seen.as_mut().unwrap();
        (seen.accepted, seen.settled) = (accepted, settled);
        verdict(wanted, 3, &vm)
    }

    #[tokio::test]
    async fn only_what_was_seen_at_the_generation_counts() {
        use Status as S;
        use WaitFor::{Deleted, Status as Of};
        for (status, told, wanted, expected) in [
            (S::Running, (3, 3), Of(S::Running), Verdict::Reached),
            (S::Running, (3, 2), Of(S::Running), Verdict::NotYet),
            (S::Running, (2, 2), Of(S::Running), Verdict::NotYet),
            (S::Booting, (3, 2), Of(S::Booting), Verdict::Reached),
            (S::Booting, (2, 2), Of(S::Booting), Verdict::NotYet),
            (S::Init, (2, 2), Of(S::Init), Verdict::Reached),
            (S::Stopped, (3, 3), Of(S::Running), Verdict::NotYet),
            (S::Error, (3, 3), Of(S::Running), Verdict::Never),
            (S::Error, (3, 2), Of(S::Running), Verdict::NotYet),
            (S::Error, (3, 3), Of(S::Error), Verdict::Reached),
            (S::Error, (3, 3), Deleted, Verdict::NotYet),
            (S::Deleting, (2, 2), Of(S::Deleting), Verdict::Reached),
            (S::Deleting, (2, 2), Of(S::Stopped), Verdict::Never),
            (S::Deleting, (2, 2), Deleted, Verdict::NotYet),
            (S::Unknown, (3, 3), Of(S::Running), Verdict::NotYet),
        ] {
            assert_eq!(
                look(status, told, wanted).await,
                expected,
                "{status} {told:?} {wanted:?}"
            );
        }
    }
}
