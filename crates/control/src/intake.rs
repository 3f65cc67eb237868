//! Intake: a report becomes what was seen, what was found and what a host is, in one transaction.
//!
//! ```text
//!   report ─► older than the newest? dropped
//!          ─► of another installation? the host is kept with that, its VMs are not looked at
//!          ─► host:  numbers ahead of ours raise ours
//!          ─► VMs:   seen (merged), gone, ahead  ─► events, replan
//!          ─► found: the set is replaced
//! ```
//!
//! A VM that a report leaves out stays as it was: unknown is not gone.

mod numbers;
mod vms;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{InstallationId, Phase, VmId};
use store::{Found, Host, Refused};
use wire::host::{HostReport, RefusalCode, VmReport};

use crate::change::Change;
use crate::{Control, Error};

impl Control {
    /// Takes a report in. Whatever is wrong with the report itself is logged and is no error.
    ///
    /// # Errors
    /// The memory refuses; the report should be taken again.
    pub(crate) async fn report_take(&self, report: &HostReport) -> Result<(), Error> {
        if !numbers::are_possible(report) {
            tracing::error!(host.id = %report.host, "report with impossible numbers dropped");
            return Ok(());
        }
        let mut change = self.change().await?;
        let known = change.host_fetch(report.host).await?;
        if known.as_ref().is_some_and(|host| host.report >= report.order()) {
            tracing::debug!(host.id = %report.host, order = ?report.order(), "older report dropped");
            return Ok(());
        }
        let installation = self.inner.installation;
        let ahead = known
            .as_ref()
            .map_or(report.plan > 0, |host| is_ahead(host, report))
            && !is_foreign(report, installation);
        let vms = change.vm_list_of_host(report.host).await?;
        let is_new = known.is_none();
        let mut host = next_host(known, report, change.now);
        if ahead {
            host.plan_number = host.plan_number.max(report.plan);
            host.plan_content = None;
            tracing::warn!(host.id = %host.id, plan = host.plan_number, "host is ahead; numbers here rise above its own");
        }
        change.host_put(&host).await?;
        if ahead || is_new {
            change.replan(host.id);
        }
        if is_foreign(report, installation) {
            tracing::warn!(host.id = %host.id, installation = ?report.installation, "host obeys another installation");
        } else {
            self.vms_take(&mut change, vms, report, ahead).await?;
            found_take(&mut change, report).await?;
        }
        self.commit(change).await
    }
}

fn is_foreign(report: &HostReport, installation: InstallationId) -> bool {
    report.installation.is_some_and(|id| id != installation)
}

/// Whether a host has a plan that nobody here remembers having made: this memory was set back.
fn is_ahead(host: &Host, report: &HostReport) -> bool {
    let same_number = report.refusal.as_ref().is_some_and(|refusal| {
        refusal.code == RefusalCode::SameNumberOtherContent && refusal.plan == host.plan_number
    });
    report.plan > host.plan_number || same_number
}

/// The host as a report leaves it. What the report leaves out stays as it was.
fn next_host(known: Option<Host>, report: &HostReport, now: Timestamp) -> Host {
    let before = known.unwrap_or_else(|| Host {
        id: report.host,
        name: report.name.clone(),
        version: String::new(),
        installation: None,
        silent: false,
        first_report_at: now,
        last_report_at: now,
        report: report.order(),
        plan_number: 0,
        plan_content: None,
        accepted_plan: 0,
        refused: None,
        capacity: None,
        images: Vec::new(),
        features: BTreeSet::new(),
    });
    let features = report.features.as_ref();
    Host {
        name: report.name.clone(),
        version: report.version.clone(),
        installation: report.installation,
        silent: false,
        last_report_at: now,
        report: report.order(),
        accepted_plan: report.plan,
        refused: report.refusal.as_ref().map(|refusal| Refused {
            plan: refusal.plan,
            code: refusal.code.as_str().to_owned(),
            message: refusal.message.clone(),
        }),
        capacity: report.capacity.or(before.capacity),
        images: report.images.clone().unwrap_or(before.images),
        features: features.map_or(before.features, |features| features.iter().cloned().collect()),
        ..before
    }
}

/// Replaces what was found on a host by what it reports as such.
async fn found_take(change: &mut Change, report: &HostReport) -> Result<(), Error> {
    let known = change.found_list().await?.into_iter();
    let mut known: BTreeMap<VmId, Found> = known
        .filter(|found| found.host == report.host)
        .map(|found| (found.vm, found))
        .collect();
    for vm in report
        .vms
        .iter()
        .filter(|vm| vm.found && vm.seen.phase != Phase::Gone)
    {
        let found = found(report, vm, change.now);
        let unchanged = known
            .remove(&vm.id)
            .is_some_and(|known| known.seen == found.seen && known.body == found.body);
        if !unchanged {
            change.found_put(&found).await?;
        }
    }
    for vm in known.into_keys() {
        change.found_delete(report.host, vm).await?;
    }
    Ok(())
}

fn found(report: &HostReport, vm: &VmReport, now: Timestamp) -> Found {
    let mut seen = vm.seen.clone();
    seen.stage = None;
    Found {
        host: report.host,
        vm: vm.id,
        seen,
        body: vm.body.clone(),
        observed_at: now,
    }
}
