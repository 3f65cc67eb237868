//! What a report says of its host.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::InstallationId;
use store::{Host, Refused};
use wire::host::{HostReport, RefusalCode};

use crate::Error;
use crate::change::Change;
use crate::plan::lacks;

/// Whether a host obeys another installation than this.
pub(super) fn is_foreign(report: &HostReport, installation: InstallationId) -> bool {
    report.installation.is_some_and(|id| id != installation)
}

/// Whether a host has a plan that nobody here remembers having made: this memory was set back.
pub(super) fn is_ahead(known: Option<&Host>, report: &HostReport) -> bool {
    let number = known.map_or(0, |host| host.plan_number);
    let same_number = report
        .refusal
        .as_ref()
        .is_some_and(|refusal| refusal.code == RefusalCode::SameNumberOtherContent && refusal.plan == number);
    report.plan > number || same_number
}

/// Whether a report changes more of its host than when it was heard.
pub(super) fn is_news(host: &Host, report: &HostReport) -> bool {
    let next = Host {
        report: host.report,
        ..next(Some(host.clone()), report, host.last_report_at)
    };
    is_ahead(Some(host), report) || next != *host
}

/// Keeps the host. Where it is ahead, the next plan's number will be above the one it has.
pub(super) async fn take(
    change: &mut Change,
    known: Option<Host>,
    report: &HostReport,
    ahead: bool,
) -> Result<(), Error> {
    let is_new = known.is_none();
    let lacked = known.as_ref().is_some_and(lacks);
    let mut host = next(known, report, change.now);
    if ahead {
        host.plan_number = host.plan_number.max(report.plan);
        host.plan_content = None;
        tracing::warn!(host.id = %host.id, plan = host.plan_number, "host is ahead; numbers here rise above its own");
    }
    change.host_put(&host).await?;
    if ahead || is_new || (lacks(&host) && !lacked) {
        change.replan(host.id);
    }
    Ok(())
}

/// The host as a report leaves it. What the report leaves out stays as it was.
fn next(known: Option<Host>, report: &HostReport, now: Timestamp) -> Host {
    let before = known.unwrap_or_else(|| unknown(report, now));
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

/// A host of which nothing was known before this report.
fn unknown(report: &HostReport, now: Timestamp) -> Host {
    Host {
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
    }
}
