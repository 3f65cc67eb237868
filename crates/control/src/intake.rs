//! Intake: a report becomes what was seen, what was found and what a host is, in one transaction.
//!
//! ```text
//!   report ─► older than the newest? dropped
//!          ─► nothing new? only remembered as heard: no write
//!          ─► of another installation? the host is kept with that, its VMs are not looked at
//!          ─► host:  numbers ahead of ours raise ours
//!          ─► VMs:   seen (merged), gone, ahead  ─► events, replan
//!          ─► found: the set is replaced
//! ```
//!
//! A VM that a report leaves out stays as it was: unknown is not gone.

mod found;
mod host;
mod numbers;
mod vms;

use jiff::Timestamp;
use store::{Host, Vm};
use wire::host::HostReport;

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
        if !self.brings_nothing_new(report).await? {
            return self.report_keep(report).await;
        }
        self.heard(report, self.now());
        Ok(())
    }

    /// Remembers that a host was heard. From the first time on it gets plans, see [`crate::plan`].
    fn heard(&self, report: &HostReport, at: Timestamp) {
        if self.inner.heard.set(report.host, report.order(), at) {
            self.inner.due.add([report.host].into());
        }
    }

    /// Whether keeping a report would change nothing but when the host was heard. Looked at outside of any change:
    /// only intake itself and the silence of a host touch what is compared, and both look again.
    async fn brings_nothing_new(&self, report: &HostReport) -> Result<bool, Error> {
        let mut read = self.inner.store.read().await?;
        let Some(host) = read.host_fetch(report.host).await? else {
            return Ok(false);
        };
        let foreign = host::is_foreign(report, self.inner.installation);
        if self.is_old(&host, report) || host::is_news(&host, report) {
            return Ok(false);
        }
        if foreign {
            return Ok(true);
        }
        let vms = read.vm_list_of_host(host.id).await?;
        if vms::is_news(&vms, report) || found::is_news(&mut read, &vms, report).await? {
            return Ok(false);
        }
        self.tell_stages(&vms, report);
        Ok(true)
    }

    async fn report_keep(&self, report: &HostReport) -> Result<(), Error> {
        let mut change = self.change().await?;
        let known = change.host_fetch(report.host).await?;
        if known.as_ref().is_some_and(|host| self.is_old(host, report)) {
            tracing::debug!(host.id = %report.host, order = ?report.order(), "older report dropped");
            return Ok(());
        }
        let foreign = host::is_foreign(report, self.inner.installation);
        let ahead = !foreign && host::is_ahead(known.as_ref(), report);
        // Read before the host is kept: their status of before depends on its silence.
        let vms = change.vm_list_of_host(report.host).await?;
        host::take(&mut change, known, report, ahead).await?;
        if foreign {
            tracing::warn!(host.id = %report.host, installation = ?report.installation, "host obeys another installation");
        } else {
            vms::take(&mut change, &vms, report, ahead).await?;
            found::take(&mut change, &vms, report).await?;
        }
        let heard_at = change.now;
        self.commit(change).await?;
        self.heard(report, heard_at);
        if !foreign {
            self.tell_stages(&vms, report);
        }
        Ok(())
    }

    fn is_old(&self, host: &Host, report: &HostReport) -> bool {
        self.inner.heard.order(host) >= report.order()
    }

    /// Tells how far the stages of VMs have come.
    fn tell_stages(&self, vms: &[Vm], report: &HostReport) {
        for (vm, entry) in vms::pairs(vms, report) {
            let Some(entry) = entry else { continue };
            self.inner
                .news
                .stage_told(vm, entry.seen.stage.as_ref(), self.now());
        }
    }
}
