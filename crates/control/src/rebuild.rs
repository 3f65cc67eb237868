//! Making a VM's disk anew. Name, address, keys and host key stay; what was on the disk is gone.

use model::{Action, Feature, ImageRef, Power, Problem};
use store::Vm;

use crate::power::{boot_again, is_on_its_host, seen_here};
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Asks for a VM's writable disk to be made anew, from its image as that is now or from another. One that is asked
    /// to run boots from it; one that is off stays off. The host does it once, whether it succeeds or fails.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or its host has removed it.
    pub async fn vm_rebuild(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        image: Option<ImageRef>,
    ) -> Result<VmView, Error> {
        self.vm_ask(caller, selector, (Operation::VmRebuild, Action::Rebuild), |vm| {
            rebuild(vm, image)
        })
        .await
    }
}

fn rebuild(vm: &mut Vm, image: Option<ImageRef>) -> Result<bool, Problem> {
    is_on_its_host(vm)?;
    let made = seen_here(vm).map_or(0, |seen| seen.rootfs);
    let body = &mut vm.asked.body;
    body.rootfs = body.rootfs.max(made) + 1;
    if let Some(image) = image {
        if matches!(image, ImageRef::Layout(_)) {
            body.needs.insert(Feature::OCI_LAYOUT);
        }
        if !image.is_of_the_repository_of(&body.image) {
            // They were given for that repository; another's registry never sees them.
            body.registry_secret = None;
            body.needs.remove(&Feature::REGISTRY_SECRET);
        }
        body.image = image;
    }
    match body.power {
        Power::On => boot_again(vm),
        Power::Off => Ok(true),
    }
}
