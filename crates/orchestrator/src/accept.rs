//! Whether a plan that came is to be obeyed. A pure function of the plan and of what the host remembers.
//!
//! | what came | what happens |
//! | --- | --- |
//! | a greater number, same installation | accepted |
//! | the number held, same content | nothing to do |
//! | the number held, other content | refused: somebody else speaks for this installation |
//! | a smaller number | refused; the report names the number held, so control can raise its own |
//! | another installation or host | refused |
//! | a body left out that the host does not hold | refused |
//!
//! No rule ever concludes from a plan that something must go: only `remove` says so.

use std::collections::BTreeMap;

use model::{HostId, InstallationId, VmId};
use wire::host::{HostPlan, Refusal, RefusalCode};

/// What the host goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) host: HostId,
    pub(crate) installation: Option<InstallationId>,
    pub(crate) plan: Option<&'a HostPlan>,
    /// The generation held of each VM.
    pub(crate) held: &'a BTreeMap<VmId, u64>,
}

/// What to do with a plan that is not refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Obey it.
    Accept,
    /// It is the plan that is held.
    AsHeld,
}

/// Judges a plan.
pub(crate) fn judge(plan: &HostPlan, standing: Standing<'_>) -> Result<Verdict, Refusal> {
    let refuse = |code, message| {
        Err(Refusal {
            plan: plan.number,
            code,
            message,
        })
    };
    if plan.host != standing.host {
        return refuse(
            RefusalCode::OtherHost,
            format!("it is for {}, and this is {}", plan.host, standing.host),
        );
    }
    if let Some(obeyed) = standing
        .installation
        .filter(|&obeyed| obeyed != plan.installation)
    {
        let message = format!(
            "it comes from {}, and this host obeys {obeyed}",
            plan.installation
        );
        return refuse(RefusalCode::OtherInstallation, message);
    }
    let held_number = standing.plan.map_or(0, |held| held.number);
    if plan.number < held_number || plan.number == 0 {
        return refuse(
            RefusalCode::OlderPlan,
            format!("plan {held_number} was accepted before"),
        );
    }
    if let Some(held) = standing.plan.filter(|held| held.number == plan.number) {
        if held.contradicts(plan) {
            let message = format!("another plan {} was accepted before", plan.number);
            return refuse(RefusalCode::SameNumberOtherContent, message);
        }
        return Ok(Verdict::AsHeld);
    }
    let unknown = plan.vms.iter().find(|vm| {
        vm.body.is_none() && !vm.remove && standing.held.get(&vm.id).is_none_or(|&held| held < vm.generation)
    });
    if let Some(vm) = unknown {
        let message = format!(
            "it leaves out the body of {} at generation {}",
            vm.id, vm.generation
        );
        return refuse(RefusalCode::Incomplete, message);
    }
    Ok(Verdict::Accept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, plan};
    use wire::host::VmPlan;

    fn judged(
        came: &HostPlan,
        held: Option<&HostPlan>,
        generations: &[(VmId, u64)],
    ) -> Result<Verdict, RefusalCode> {
        let generations = generations.iter().copied().collect();
        let standing = Standing {
            host: HostId::from_random([9; 16]),
            installation: held.map(|plan| plan.installation),
            plan: held,
            held: &generations,
        };
        judge(came, standing).map_err(|refusal| refusal.code)
    }

    #[test]
    fn numbers_only_rise() {
        let held = plan(5, &["a"]);
        assert_eq!(judged(&plan(6, &[]), Some(&held), &[]), Ok(Verdict::Accept));
        assert_eq!(judged(&plan(5, &["a"]), Some(&held), &[]), Ok(Verdict::AsHeld));
        assert_eq!(
            judged(&plan(5, &["a", "b"]), Some(&held), &[]),
            Err(RefusalCode::SameNumberOtherContent)
        );
        assert_eq!(
            judged(&plan(4, &["a"]), Some(&held), &[]),
            Err(RefusalCode::OlderPlan)
        );
        assert_eq!(judged(&plan(1, &["a"]), None, &[]), Ok(Verdict::Accept));
        assert_eq!(judged(&plan(0, &[]), None, &[]), Err(RefusalCode::OlderPlan));
    }

    #[test]
    fn one_host_obeys_one_installation() {
        let held = plan(5, &["a"]);
        let mut other = plan(9, &["a"]);
        other.installation = InstallationId::from_random([7; 16]);
        assert_eq!(
            judged(&other, Some(&held), &[]),
            Err(RefusalCode::OtherInstallation)
        );
        let mut elsewhere = plan(9, &["a"]);
        elsewhere.host = HostId::from_random([8; 16]);
        assert_eq!(judged(&elsewhere, Some(&held), &[]), Err(RefusalCode::OtherHost));
    }

    #[test]
    fn a_body_may_be_left_out_only_where_it_is_held() {
        let mut lean = plan(6, &[]);
        let id = VmId::from_random([1; 16]);
        lean.vms.push(VmPlan {
            id,
            placement: 1,
            generation: 3,
            remove: false,
            body: None,
            request: None,
        });
        assert_eq!(judged(&lean, None, &[]), Err(RefusalCode::Incomplete));
        assert_eq!(judged(&lean, None, &[(id, 2)]), Err(RefusalCode::Incomplete));
        assert_eq!(judged(&lean, None, &[(id, 3)]), Ok(Verdict::Accept));
        lean.vms[0].remove = true;
        assert_eq!(judged(&lean, None, &[]), Ok(Verdict::Accept));
        lean.vms[0].body = Some(body("a"));
        assert_eq!(judged(&lean, None, &[]), Ok(Verdict::Accept));
    }
}
