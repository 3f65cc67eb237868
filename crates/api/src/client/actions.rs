//! Restarting, rebuilding and resizing.

use super::{Client, ClientError};
use crate::actions::{EXTEND, LEASE, REBUILD, RESIZE, RESTART};
use crate::{ExtendVm, RebuildVm, ResizeVm, Vm};

/// All of them fail as [`ClientError`] says. `vm` is an id or a name.
impl Client {
    /// Asks for another boot.
    pub async fn vm_restart(&self, vm: &str) -> Result<Vm, ClientError> {
        self.call(&RESTART, &[vm]).await
    }

    /// Asks for the disk to be made anew.
    pub async fn vm_rebuild(&self, vm: &str, wish: &RebuildVm) -> Result<Vm, ClientError> {
        self.call_with(&REBUILD, &[vm], wish).await
    }

    /// Asks for more time to live.
    pub async fn vm_extend(&self, vm: &str, wish: &ExtendVm) -> Result<Vm, ClientError> {
        self.call_with(&EXTEND, &[vm], wish).await
    }

    /// Says that this client is still there, for a VM that goes with it.
    pub async fn vm_lease(&self, vm: &str) -> Result<Vm, ClientError> {
        // Each one counts, and it may be said twice: a key would only make the server write.
        self.answer(self.request(&LEASE, &[vm])?).await
    }

    /// Asks for another size.
    pub async fn vm_resize(&self, vm: &str, wish: &ResizeVm) -> Result<Vm, ClientError> {
        self.call_with(&RESIZE, &[vm], wish).await
    }
}
