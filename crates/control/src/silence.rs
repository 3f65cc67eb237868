//! Silence: that a host has not reported for too long is a fact that is stored, so that the status needs no clock.

use jiff::{SignedDuration, Timestamp};
use store::Host;

use crate::view::status_of;
use crate::{Control, Error};

impl Control {
    /// Stores the silence of each host that has been silent for too long.
    pub(crate) async fn silence_look(&self) -> Result<(), Error> {
        let hosts = self.inner.store.read().await?.host_list().await?;
        for host in hosts {
            if self.has_fallen_silent(&host, self.now()) {
                self.silence_keep(&host).await?;
            }
        }
        Ok(())
    }

    fn has_fallen_silent(&self, host: &Host, now: Timestamp) -> bool {
        let heard = self.inner.heard.at(host).max(self.inner.opened_at);
        let limit = SignedDuration::try_from(self.inner.silence_after).unwrap_or(SignedDuration::MAX);
        !host.silent && now.duration_since(heard) > limit
    }

    async fn silence_keep(&self, seen: &Host) -> Result<(), Error> {
        let mut change = self.change().await?;
        let Some(mut host) = change.host_fetch(seen.id).await? else {
            return Ok(());
        };
        // A report may have come since it was looked at.
        if !self.has_fallen_silent(&host, change.now) {
            return Ok(());
        }
        let vms = change.vm_list_of_host(host.id).await?;
        host.last_report_at = self.inner.heard.at(&host);
        host.silent = true;
        change.host_put(&host).await?;
        for mut vm in vms {
            let before = status_of(&vm);
            vm.host_silent = true;
            change.status(Some(before), &vm).await?;
        }
        self.commit(change).await?;
        tracing::warn!(host.id = %host.id, host.name = %host.name, "host is silent");
        Ok(())
    }
}
