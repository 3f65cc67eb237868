//! A VM's task and the use of its VM: what the guest tells is measured, and what is measured is shown.

use model::{Idle, Reason, ReasonCode};
use tokio::time::Instant;

use super::VmTask;
use crate::guest::GuestState;
use crate::idle::Meter;

impl VmTask {
    /// Takes in what the guest last said of its use.
    pub(super) fn hear_usage(&mut self, state: &GuestState) {
        let Some((at, usage)) = state.usage else { return };
        if let Some(after) = self.record.body.idle_after {
            let meter = self.meter.take_if(|meter| meter.is_for(after));
            let meter = self
                .meter
                .insert(meter.unwrap_or_else(|| Meter::new(after, Instant::now())));
            meter.hear(at, usage);
        }
    }

    /// Whether the VM is used. One that does not run, or is not asked to stop when it is idle, is never idle.
    pub(super) fn idle(&self) -> Idle {
        let Some(meter) = self.meter.as_ref().filter(|_| self.actual.ready.is_some()) else {
            return Idle::Active;
        };
        match self.record.body.idle_after {
            Some(after) if meter.is_for(after) => meter.judge(Instant::now(), self.door.activity.look()),
            Some(_) | None => Idle::Active,
        }
    }

    /// Why a running guest cannot do what is asked of it: it was booted with an older powerunit.
    pub(super) fn outdated(&self) -> Option<Reason> {
        let body = &self.record.body;
        let asked = !body.barred.is_empty() || body.idle_after.is_some();
        let guest = self.guest.as_ref().filter(|_| asked)?;
        let is_outdated = guest.watch().borrow().is_outdated();
        is_outdated.then(|| {
            Reason::lasting(
                ReasonCode::GuestOutdated,
                "its powerunit is from an older bundle: it neither ends open sessions nor tells when it is idle",
                format!("restart it: pwctl restart {}", body.name),
            )
        })
    }
}
