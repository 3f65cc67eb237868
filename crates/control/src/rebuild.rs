//! Making a VM's disk anew. Name, address, keys and host key stay; what was on the disk is gone.
//!
//! The credentials that a VM's image is pulled with stay for the very same reference, and for another one of that
//! repository where whoever presented them asks. Else they end: nobody reads an image with a password that somebody else
//! gave for another. New ones take the place of those before.

use model::{Action, ImageRef, Power, Problem, RegistryCredentials, SecretRef};
use store::Vm;

use crate::ask::fits;
use crate::needs::needs_renew;
use crate::power::{boot_again, is_on_its_host, seen_here};
use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView, secret};

/// What a VM's disk is made anew from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildVm {
    /// Another image; `None` is its own, as that is now.
    pub image: Option<ImageRef>,
    /// What the image is pulled with from now on.
    pub registry_auth: Option<RegistryCredentials>,
}

impl Control {
    /// Asks for a VM's writable disk to be made anew, from its image as that is now or from another. One that is asked
    /// to run boots from it; one that is off stays off. The host does it once, whether it succeeds or fails.
    ///
    /// # Errors
    /// There is no such VM, or it is being removed, or its host has removed it, or the credentials cannot be any.
    pub async fn vm_rebuild(
        &self,
        caller: &Caller,
        selector: &VmSelector,
        wish: RebuildVm,
    ) -> Result<VmView, Error> {
        let operation = Operation::VmRebuild;
        let mut change = self.change_by(caller, operation).await?;
        let before = vm_find(&mut change, caller, selector, operation).await?;
        fits(&before, Action::Rebuild)?;
        let mut now = before.clone();
        let had = before.asked.body.registry_secret;
        let secret = match &wish.registry_auth {
            Some(given) => {
                let image = wish.image.as_ref().unwrap_or(&before.asked.body.image);
                secret::check(given, image)?;
                Some(secret::next(had, self.inner.entropy.as_ref())?)
            }
            None => {
                let presenter = change.secret_presenter_fetch(before.asked.id).await?;
                had.filter(|_| serves(&before, wish.image.as_ref(), presenter == Some(caller.user)))
            }
        };
        rebuild(&mut now, wish.image, secret)?;
        now.asked.generation += 1;
        change.about(now.asked.id);
        change.ask(&before, &now).await?;
        secret::keep(
            &mut change,
            now.asked.id,
            secret,
            caller.user,
            wish.registry_auth.as_ref(),
        )
        .await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %now.asked.id, vm.generation = now.asked.generation, user.id = %caller.user,
            token.id = %caller.token, operation = operation.as_str(), "something else is asked of a vm"
        );
        Ok(self.view(now))
    }
}

/// Whether the credentials that a VM has are for its next image too.
fn serves(vm: &Vm, next: Option<&ImageRef>, are_the_callers: bool) -> bool {
    let image = &vm.asked.body.image;
    next.is_none_or(|next| next == image || (are_the_callers && next.is_of_the_repository_of(image)))
}

fn rebuild(vm: &mut Vm, image: Option<ImageRef>, secret: Option<SecretRef>) -> Result<bool, Problem> {
    is_on_its_host(vm)?;
    let made = seen_here(vm).map_or(0, |seen| seen.rootfs);
    let body = &mut vm.asked.body;
    body.rootfs = body.rootfs.max(made) + 1;
    if let Some(image) = image {
        body.image = image;
    }
    body.registry_secret = secret;
    needs_renew(body);
    match body.power {
        Power::On => boot_again(vm),
        Power::Off => Ok(true),
    }
}
