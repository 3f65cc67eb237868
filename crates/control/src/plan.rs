//! Plans: everything that should be on a host, whole and numbered.
//!
//! The content is read outside of any change, since it takes long where there are many VMs. Its number is drawn after that,
//! and only if no other was drawn meanwhile: so a later number never has older content, and what has changed since then
//! comes with the next plan. What a number stands for is remembered as a digest, so equal content keeps its number and a
//! number never gets other content.
//!
//! A host is told nothing before it was heard once since this control plane started. Where the database was set back
//! meanwhile, its report tells so before a number is drawn that the host could take for a later one of its own.

use model::{Digest, HostId, Power};
use sha2::{Digest as _, Sha256};
use store::{Host, Vm};
use wire::host::{HostPlan, VmPlan};

use crate::{Control, Error};

impl Control {
    /// Makes the plan of a host as of now and puts it on the bus; nothing for a host that is not known or was
    /// not heard yet.
    pub(crate) async fn plan_publish(&self, host: HostId) -> Result<(), Error> {
        if !self.inner.heard.has(host) {
            return Ok(());
        }
        let Some(plan) = self.plan_make(host).await? else {
            return Ok(());
        };
        let encoded = plan.encode();
        let bytes = encoded.len();
        let published = self.inner.bus.publish_plan(host, encoded).await;
        published.map_err(Error::internal)?;
        self.inner.meter.plan_published(bytes);
        tracing::debug!(host.id = %host, plan = plan.number, vms = plan.vms.len(), "plan published");
        Ok(())
    }

    pub(crate) async fn plan_make(&self, id: HostId) -> Result<Option<HostPlan>, Error> {
        loop {
            let mut read = self.inner.store.read().await?;
            let Some(host) = read.host_fetch(id).await? else {
                return Ok(None);
            };
            let vms = read.vm_list_of_host(id).await?;
            drop(read);
            let mut plan = HostPlan {
                installation: self.inner.installation,
                host: id,
                number: 0,
                vms: vms.into_iter().map(entry).collect(),
            };
            if let Some(number) = self.number_draw(&host, &plan).await? {
                plan.number = number;
                return Ok(Some(plan));
            }
        }
    }

    /// The number of a plan: the one that its content has, else the next. None where another was drawn, or numbers have
    /// risen, since the host was read.
    async fn number_draw(&self, read: &Host, plan: &HostPlan) -> Result<Option<u64>, Error> {
        let content = Digest::from_sha256(Sha256::digest(plan.encode()).into());
        if read.plan_content == Some(content) {
            return Ok(Some(read.plan_number));
        }
        let mut write = self.inner.store.write().await?;
        let unchanged =
            |host: &Host| (host.plan_number, host.plan_content) == (read.plan_number, read.plan_content);
        let Some(mut host) = write.host_fetch(read.id).await?.filter(unchanged) else {
            return Ok(None);
        };
        host.plan_number += 1;
        host.plan_content = Some(content);
        write.host_put(&host).await?;
        write.commit().await?;
        Ok(Some(host.plan_number))
    }
}

/// What a disabled user owns is told to be off, without changing what is asked.
fn entry(mut vm: Vm) -> VmPlan {
    if vm.owner.disabled {
        vm.asked.body.power = Power::Off;
    }
    VmPlan {
        id: vm.asked.id,
        placement: vm.asked.placement,
        generation: vm.asked.generation,
        remove: vm.asked.remove,
        body: Some(vm.asked.body),
    }
}
