//! Plans: everything that should be on a host, whole and numbered.
//!
//! The content is read outside of any change, since it takes long where there are many VMs. Its number is drawn after that,
//! and only if no other was drawn meanwhile: so a later number never has older content, and what has changed since then
//! comes with the next plan. What a number stands for is remembered as a digest, so equal content keeps its number and a
//! number never gets other content.
//!
//! What is asked of a VM is left out where its host has said that it holds that generation: a generation never means two
//! things. A host that has lost what it held refuses such a plan as incomplete and gets all of it with the next.
//!
//! A host is told nothing before it was heard once since this control plane started. Where the database was set back
//! meanwhile, its report tells so before a number is drawn that the host could take for a later one of its own.

use std::collections::BTreeMap;

use model::{Digest, HostId, Power, VmBody, VmId};
use sha2::{Digest as _, Sha256};
use store::{Host, PlannedVm, Read, Vm};
use wire::host::{HostPlan, RefusalCode, VmPlan};

use crate::{Control, Error};

/// A plan that has no number yet.
struct Draft {
    plan: HostPlan,
    /// The number and content of the one before.
    before: (u64, Option<Digest>),
    content: Digest,
}

impl Control {
    /// Makes the plan of a host as of now and puts it on the bus; nothing for a host that is not known or was not heard yet.
    /// Gives how many bytes that took.
    pub(crate) async fn plan_publish(&self, host: HostId) -> Result<usize, Error> {
        if !self.inner.heard.has(host) {
            return Ok(0);
        }
        let Some(plan) = self.plan_make(host).await? else {
            return Ok(0);
        };
        let encoded = plan.encode();
        let bytes = encoded.len();
        let published = self.inner.bus.publish_plan(host, encoded).await;
        published.map_err(Error::internal)?;
        self.inner.meter.plan_published(bytes);
        tracing::debug!(host.id = %host, plan = plan.number, vms = plan.vms.len(), "plan published");
        Ok(bytes)
    }

    /// The plan of a host that is known. Where another number was drawn meanwhile, the host is due again instead.
    pub(crate) async fn plan_make(&self, host: HostId) -> Result<Option<HostPlan>, Error> {
        let mut read = self.inner.store.read().await?;
        let Some(mut draft) = self.draft_plan(&mut read, host).await? else {
            return Ok(None);
        };
        drop(read);
        if draft.before.1 == Some(draft.content) {
            return Ok(Some(draft.plan));
        }
        let number = draft.before.0 + 1;
        let mut write = self.inner.store.write().await?;
        let drawn = write.plan_number_update(host, draft.before, (number, draft.content));
        if !drawn.await? {
            self.inner.due.add([host].into());
            return Ok(None);
        }
        write.commit().await?;
        draft.plan.number = number;
        Ok(Some(draft.plan))
    }

    async fn draft_plan(&self, read: &mut Read, id: HostId) -> Result<Option<Draft>, Error> {
        let Some(host) = read.host_fetch(id).await? else {
            return Ok(None);
        };
        let vms = read.planned_list(id).await?;
        let mut plan = HostPlan {
            installation: self.inner.installation,
            host: id,
            number: 0,
            vms: vms.into_iter().map(entry).collect(),
        };
        let content = Digest::from_sha256(Sha256::digest(plan.encode()).into());
        plan.number = host.plan_number;
        let told = match lacks(&host) {
            true => read.vm_list_of_host(id).await?,
            false => read.vm_list_not_held(id).await?,
        };
        let mut told: BTreeMap<VmId, Vm> = told.into_iter().map(|vm| (vm.asked.id, vm)).collect();
        for vm in &mut plan.vms {
            if let Some(asked) = told.remove(&vm.id) {
                vm.request.clone_from(&asked.request);
                vm.body = Some(body(asked));
            }
        }
        Ok(Some(Draft {
            plan,
            before: (host.plan_number, host.plan_content),
            content,
        }))
    }
}

/// Whether a host has said that it does not hold what it was thought to.
pub(crate) fn lacks(host: &Host) -> bool {
    let refused = host.refused.as_ref();
    refused.is_some_and(|refused| refused.code == RefusalCode::Incomplete.as_str())
}

fn entry(vm: PlannedVm) -> VmPlan {
    VmPlan {
        id: vm.id,
        placement: vm.placement,
        generation: vm.generation,
        remove: vm.remove,
        body: None,
        request: None,
    }
}

/// What is asked of a VM. What a disabled user owns is told to be off, without changing what is asked.
fn body(mut vm: Vm) -> VmBody {
    if vm.owner.disabled {
        vm.asked.body.power = Power::Off;
    }
    vm.asked.body
}
