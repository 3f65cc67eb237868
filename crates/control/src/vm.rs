//! Looking at VMs.

use model::{Problem, ProblemCode};
use store::{Read, Vm};

use crate::{Caller, Control, Error, VmSelector, VmView};

impl Control {
    /// All VMs, oldest first, those on their way out included.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub async fn vm_list(&self, _caller: &Caller) -> Result<Vec<VmView>, Error> {
        let vms = self.inner.store.read().await?.vm_list().await?;
        Ok(vms.into_iter().map(|vm| self.view(vm)).collect())
    }

    /// One VM.
    ///
    /// # Errors
    /// There is none.
    pub async fn vm_get(&self, _caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        let vm = vm_find(&mut self.inner.store.read().await?, selector).await?;
        Ok(self.view(vm))
    }

    pub(crate) fn view(&self, vm: Vm) -> VmView {
        let stage = self.inner.news.stage(vm.asked.id);
        VmView::new(vm, stage)
    }
}

/// The VM that is meant, as the caller's transaction sees it.
pub(crate) async fn vm_find(read: &mut Read, selector: &VmSelector) -> Result<Vm, Error> {
    let found = match selector {
        VmSelector::Id(id) => read.vm_fetch(*id).await?,
        VmSelector::Name(name) => read.vm_fetch_by_name(name).await?,
    };
    found.ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, format!("there is no VM {selector}"))
            .hint("pwctl ls shows those there are")
            .into()
    })
}
