//! Plans: everything that should be on a host, whole and numbered.
//!
//! The number is drawn in the transaction that reads the content; while that lasts nobody else writes. What a number
//! stands for is remembered as a digest, so equal content keeps its number and a number never gets other content.
//!
//! A host is told nothing before it was heard once since this control plane started. Where the database was set back
//! meanwhile, its report tells so before a number is drawn that the host could take for a later one of its own.

use model::{Digest, HostId, Power};
use sha2::{Digest as _, Sha256};
use store::Vm;
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
        let published = self.inner.bus.publish_plan(host, plan.encode()).await;
        published.map_err(Error::internal)?;
        self.inner.meter.plan_published();
        tracing::debug!(host.id = %host, plan = plan.number, vms = plan.vms.len(), "plan published");
        Ok(())
    }

    pub(crate) async fn plan_make(&self, id: HostId) -> Result<Option<HostPlan>, Error> {
        let mut write = self.inner.store.write().await?;
        let Some(mut host) = write.host_fetch(id).await? else {
            return Ok(None);
        };
        let vms = write.vm_list_of_host(id).await?;
        let mut plan = HostPlan {
            installation: self.inner.installation,
            host: id,
            number: 0,
            vms: vms.into_iter().map(entry).collect(),
        };
        let content = Digest::from_sha256(Sha256::digest(plan.encode()).into());
        if host.plan_content != Some(content) {
            host.plan_number += 1;
            host.plan_content = Some(content);
            write.host_put(&host).await?;
            write.commit().await?;
        }
        plan.number = host.plan_number;
        Ok(Some(plan))
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
