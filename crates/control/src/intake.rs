//! Intake: a report becomes what was seen, what was found and what a host is, in one transaction.
//!
//! ```text
//!   report ─► older than the newest? dropped
//!          ─► nothing new, in what it says anew? only remembered as heard: no write
//!          ─► of another installation? the host is kept with that, its VMs are not looked at
//!          ─► host:  numbers ahead of ours raise ours
//!          ─► VMs:   seen (merged), gone, ahead  ─► events, replan
//!          ─► found: the set is replaced
//! ```
//!
//! What is news is found out before the change begins, so that a change reads and writes the VMs that are, and not all
//! of a host.
//!
//! A VM that a report leaves out stays as it was: unknown is not gone.

mod found;
mod host;
mod numbers;
mod told;
mod vms;

use jiff::Timestamp;
use model::{HostId, VmId};
use store::{Host, Read, Vm};
use wire::host::HostReport;

use self::told::Anew;
pub(crate) use self::told::Told;
use crate::{Control, Error};

/// What a report brings.
enum News {
    /// Nothing but that the host was heard.
    Nothing,
    /// Something of the host perhaps, of these VMs, and of no other.
    OfVms(Vec<VmId>),
    /// More than that.
    OfHost,
}

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
        let telling = self.inner.told.look(report);
        let compared = match self.news(report, &telling.anew).await? {
            News::Nothing => {
                self.heard(report, self.now());
                !host::is_foreign(report, self.inner.installation)
            }
            News::OfVms(vms) => self.report_keep(report, Some(&vms)).await?,
            News::OfHost => self.report_keep(report, None).await?,
        };
        if compared {
            self.inner.told.keep(report.host, telling);
        }
        Ok(())
    }

    /// Remembers that a host was heard. From the first time on it gets plans, see [`crate::plan`].
    fn heard(&self, report: &HostReport, at: Timestamp) {
        if self.inner.heard.set(report.host, report.order(), at) {
            self.inner.due.add([report.host].into());
        }
    }

    /// What keeping a report would change but when the host was heard. Looked at outside of any change: only intake
    /// itself and the silence of a host touch what is compared, and both look again.
    async fn news(&self, report: &HostReport, anew: &Anew) -> Result<News, Error> {
        let mut read = self.inner.store.read().await?;
        let Some(host) = read.host_fetch(report.host).await? else {
            return Ok(News::OfHost);
        };
        let of_host = host::is_news(&host, report);
        if self.is_old(&host, report) || host.silent || host::is_ahead(Some(&host), report) {
            return Ok(News::OfHost);
        }
        if host::is_foreign(report, self.inner.installation) {
            return Ok(if of_host { News::OfHost } else { News::Nothing });
        }
        let vms = match anew {
            Anew::Of(ids) => vms_of(&mut read, host.id, ids).await?,
            Anew::All => {
                let vms = read.vm_list_of_host(host.id).await?;
                if found::is_news(&mut read, &vms, report).await? {
                    return Ok(News::OfHost);
                }
                vms
            }
        };
        self.tell_stages(&vms, report);
        let of_vms: Vec<VmId> = vms::news(&vms, report).collect();
        Ok(if of_host || !of_vms.is_empty() {
            News::OfVms(of_vms)
        } else {
            News::Nothing
        })
    }

    /// Keeps a report: all of it, or besides the host only what it says of these VMs. Gives whether what it says of VMs
    /// was looked at.
    async fn report_keep(&self, report: &HostReport, only: Option<&[VmId]>) -> Result<bool, Error> {
        let mut change = self.change().await?;
        let known = change.host_fetch(report.host).await?;
        if known.as_ref().is_some_and(|host| self.is_old(host, report)) {
            tracing::debug!(host.id = %report.host, order = ?report.order(), "older report dropped");
            return Ok(false);
        }
        let foreign = host::is_foreign(report, self.inner.installation);
        let ahead = !foreign && host::is_ahead(known.as_ref(), report);
        let was_heard = known.as_ref().is_some_and(|host| !host.silent);
        let only = only.filter(|_| was_heard && !ahead);
        // Read before the host is kept: their status of before depends on its silence.
        let vms = match only {
            Some(only) => vms_of(&mut change, report.host, only).await?,
            None => change.vm_list_of_host(report.host).await?,
        };
        host::take(&mut change, known, report, ahead).await?;
        if foreign {
            tracing::warn!(host.id = %report.host, installation = ?report.installation, "host obeys another installation");
        } else {
            vms::take(&mut change, &vms, report, ahead).await?;
            if only.is_none() {
                found::take(&mut change, &vms, report).await?;
            }
        }
        let heard_at = change.now;
        self.commit(change).await?;
        self.heard(report, heard_at);
        if !foreign && only.is_none() {
            self.tell_stages(&vms, report);
        }
        Ok(!foreign)
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

/// These VMs, those of them that are on the host still.
async fn vms_of(read: &mut Read, host: HostId, ids: &[VmId]) -> Result<Vec<Vm>, Error> {
    let mut vms = read.vm_list_by_id(ids).await?;
    vms.retain(|vm| vm.host == host);
    Ok(vms)
}
