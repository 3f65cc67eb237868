//! How long VMs live: their time to live, their grace, and the leases of those that go with their clients.
//!
//! ```text
//!   created ──── warning ── expires_at: asked to be off ── seen to be off: stopped_at ──── + grace: asked to go
//!                   ▲                                          ▲
//!         10 minutes before, or a tenth of the time        no host, no clock of an outage: it counts from here
//! ```
//!
//! A time to live is kept with the VM; a lease's renewals are not, so they cost no write. After a start of control they
//! count from its opening. So an outage, of a host or of control, never removes anything early.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use model::{Action, Phase, Power, Problem, ProblemCode, VmId};
use store::{Life, Vm};

use crate::ask::{fits, wrong_status};
use crate::change::Change;
use crate::vm::vm_find;
use crate::{Caller, Control, Ending, Error, EventKind, Operation, VmSelector, VmView, chain};

/// A warning comes so long before the end, or a tenth of the time before it where that is less.
const WARNING: SignedDuration = SignedDuration::from_mins(10);
const TENTH: i32 = 10;

/// Ten years: longer than anybody means, and short enough for every calendar.
const LONGEST: u64 = 10 * 366 * 24 * 60 * 60;

/// What a VM's life has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Its end comes near.
    Warning(Timestamp),
    /// It has lived long enough.
    Stop,
    /// It is off, and its grace begins.
    Grace,
    /// Its grace is over.
    Remove,
}

/// What is due of a VM's time to live.
fn due(vm: &Vm, now: Timestamp) -> Due {
    let life = &vm.life;
    let Some(expires_at) = life.expires_at else {
        return Due::Nothing;
    };
    if now < expires_at {
        let warns_at = later(expires_at, -warning(life.ttl));
        return match !life.warned && now >= warns_at {
            true => Due::Warning(expires_at),
            false => Due::Nothing,
        };
    }
    if vm.asked.body.power == Power::On {
        return Due::Stop;
    }
    match life.stopped_at {
        None if is_off(vm) => Due::Grace,
        None => Due::Nothing,
        Some(at) if now >= later(at, seconds(life.grace)) => Due::Remove,
        Some(_) => Due::Nothing,
    }
}

/// When a VM goes, once that is known.
pub(crate) fn removed_at(life: &Life) -> Option<Timestamp> {
    life.stopped_at.map(|at| later(at, seconds(life.grace)))
}

fn is_off(vm: &Vm) -> bool {
    let seen = vm.seen.as_ref();
    let seen = seen.filter(|seen| seen.placement == vm.asked.placement && !vm.host_silent);
    seen.is_some_and(|seen| match seen.phase {
        Phase::Stopped | Phase::Failed | Phase::Gone => true,
        Phase::Accepted
        | Phase::BuildingFilesystem
        | Phase::Booting
        | Phase::Running
        | Phase::Stopping
        | Phase::Removing => false,
    })
}

pub(crate) fn warning(ttl: Option<u64>) -> SignedDuration {
    ttl.map_or(WARNING, |ttl| (seconds(ttl) / TENTH).min(WARNING))
}

fn seconds(length: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(length).unwrap_or(i64::MAX))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// One VM's failure holds up no other; the next look tries it again.
fn stepped(vm: VmId, step: Result<(), Error>) {
    if let Err(error) = step {
        tracing::error!(vm.id = %vm, error = chain(&error), "what is due of a vm's life could not be done");
    }
}

/// How long a VM shall live. What is `None` is for ever, except the grace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LifeWish {
    /// Seconds until it is stopped.
    pub ttl: Option<u64>,
    /// Seconds that it is kept from then on; `None` is 72 h.
    pub grace: Option<u64>,
    /// Seconds without anybody using it until it is stopped.
    pub idle_after: Option<u64>,
    /// Seconds that it outlives the last sign of its client.
    pub lease: Option<u64>,
}

impl LifeWish {
    /// # Errors
    /// A time is out of range.
    pub(crate) fn checked(self) -> Result<Self, Problem> {
        for (pointer, seconds) in [
            ("/ttl_seconds", self.ttl),
            ("/grace_seconds", self.grace),
            ("/idle_after_seconds", self.idle_after),
            ("/lease_seconds", self.lease),
        ] {
            seconds.map(|seconds| length(pointer, seconds)).transpose()?;
        }
        Ok(self)
    }
}

/// A length of time that somebody asks for, in seconds.
pub(crate) fn length(pointer: &str, seconds: u64) -> Result<u64, Problem> {
    match (1..=LONGEST).contains(&seconds) {
        true => Ok(seconds),
        false => Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("a time is 1 to {LONGEST} seconds, not {seconds}"),
        )
        .at(pointer)),
    }
}

/// A new VM's life.
pub(crate) fn begin(wish: LifeWish, now: Timestamp) -> Life {
    Life {
        ttl: wish.ttl,
        expires_at: wish.ttl.map(|ttl| later(now, seconds(ttl))),
        grace: wish.grace.unwrap_or(store::DEFAULT_GRACE),
        lease: wish.lease,
        ..Life::default()
    }
}

/// The life of one that is started: one that has expired gets its time again.
pub(crate) fn begin_again(life: &Life, now: Timestamp) -> Life {
    match life.expires_at {
        Some(at) if at <= now => Life {
            expires_at: Some(later(now, life.ttl.map_or(WARNING, seconds))),
            stopped_at: None,
            warned: false,
            ..life.clone()
        },
        Some(_) | None => life.clone(),
    }
}

/// When the clients of leased VMs gave their last sign.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<VmId, Timestamp>>);

impl Leases {
    fn renew(&self, vm: VmId, now: Timestamp) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(vm, now);
    }

    /// Those of `vms` whose client is away for too long. Forgets all that are not among them.
    fn lapsed(&self, vms: &[Vm], opened_at: Timestamp, now: Timestamp) -> Vec<VmId> {
        let mut signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leased: BTreeSet<VmId> = vms.iter().map(|vm| vm.asked.id).collect();
        signs.retain(|id, _| leased.contains(id));
        let lapsed = vms.iter().filter(|vm| {
            let sign = signs.get(&vm.asked.id).copied();
            let sign = sign.unwrap_or_else(|| vm.created_at.max(opened_at));
            vm.life
                .lease
                .is_some_and(|lease| now >= later(sign, seconds(lease)))
        });
        lapsed.map(|vm| vm.asked.id).collect()
    }
}

/// Extending gives time and never sets a limit: that would let whoever may manage a VM have it removed.
fn lives_for_ever(vm: &Vm) -> Problem {
    wrong_status(vm, "it has no time to live, so there is nothing to extend").hint(
        "it stays until somebody removes it; a time to live is given when a VM is made (pwctl create --ttl)",
    )
}

impl Control {
    /// Gives a VM more time to live: so many seconds from its end on, or from now where that has passed. It does not
    /// start a VM that is off; it takes back that it goes.
    ///
    /// # Errors
    /// There is no such VM, it is being removed, it has no time to live, or the time is out of range.
    pub async fn vm_extend(&self, caller: &Caller, selector: &VmSelector, by: u64) -> Result<VmView, Error> {
        let by = length("/seconds", by)?;
        let mut change = self.change_by(caller, Operation::VmExtend).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmExtend).await?;
        fits(&before, Action::Extend)?;
        let expires_at = before.life.expires_at.ok_or_else(|| lives_for_ever(&before))?;
        let from = expires_at.max(change.now);
        let mut now = before.clone();
        now.life = Life {
            expires_at: Some(later(from, seconds(by))),
            stopped_at: None,
            warned: false,
            ..before.life.clone()
        };
        now.asked.generation += 1;
        change.about(now.asked.id);
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        Ok(self.view(now))
    }

    /// Says that the client of a leased VM is there. Nothing is asked of a VM without a lease.
    ///
    /// # Errors
    /// There is no such VM.
    pub async fn vm_lease(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        let vm = vm_find(
            &mut self.inner.store.read().await?,
            caller,
            selector,
            Operation::VmLease,
        )
        .await?;
        if vm.life.lease.is_some() {
            self.inner.leases.renew(vm.asked.id, self.now());
        }
        Ok(self.view(vm))
    }

    /// Does what is due of the lives of VMs.
    pub(crate) async fn lives_look(&self) -> Result<(), Error> {
        let now = self.now();
        let mut read = self.inner.store.read().await?;
        // Nothing is due of those that live longer than the earliest warning.
        let expiring = read.vm_list_expiring(later(now, WARNING)).await?;
        let leased = read.vm_list_leased().await?;
        drop(read);
        for vm in expiring.iter().filter(|vm| due(vm, now) != Due::Nothing) {
            stepped(vm.asked.id, self.life_step(vm.asked.id).await);
        }
        for vm in self.inner.leases.lapsed(&leased, self.inner.opened_at, now) {
            tracing::info!(vm.id = %vm, "the client of a leased vm is away");
            stepped(vm, self.life_end(vm).await);
        }
        Ok(())
    }

    /// Does the next that is due of one VM, as it is by now.
    async fn life_step(&self, id: VmId) -> Result<(), Error> {
        let mut change = self.change().await?;
        let Some(before) = change.vm_fetch(id).await?.filter(|vm| !vm.asked.remove) else {
            return Ok(());
        };
        let mut now = before.clone();
        match due(&before, change.now) {
            Due::Nothing => return Ok(()),
            Due::Warning(at) => {
                now.life.warned = true;
                let ending = EventKind::Ending {
                    ending: Ending::TimeToLive,
                    seconds: u64::try_from(at.duration_since(change.now).as_secs()).unwrap_or(0),
                };
                change.event(id, now.asked.generation, &ending).await?;
            }
            Due::Stop => {
                now.asked.body.power = Power::Off;
                self.ask_by_itself(&mut change, &before, &mut now).await?;
                tracing::info!(vm.id = %id, "a vm has lived long enough; it is asked to be off");
            }
            Due::Grace => now.life.stopped_at = Some(change.now),
            Due::Remove => {
                drop(change);
                tracing::info!(vm.id = %id, "the grace of a vm is over");
                return self.life_end(id).await;
            }
        }
        change.vm_life_update(id, &now.life).await?;
        self.commit(change).await
    }

    async fn life_end(&self, id: VmId) -> Result<(), Error> {
        let mut change = self.change().await?;
        let Some(before) = change.vm_fetch(id).await?.filter(|vm| !vm.asked.remove) else {
            return Ok(());
        };
        let mut now = before.clone();
        now.asked.remove = true;
        self.ask_by_itself(&mut change, &before, &mut now).await?;
        self.commit(change).await
    }

    async fn ask_by_itself(&self, change: &mut Change, before: &Vm, now: &mut Vm) -> Result<(), Error> {
        now.asked.generation += 1;
        change.ask(before, now).await
    }
}
