//! Restarting, rebuilding and resizing.

use super::{Client, ClientError};
use crate::actions::{REBUILD, RESIZE, RESTART};
use crate::{RebuildVm, ResizeVm, Vm};

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

    /// Asks for another size.
    pub async fn vm_resize(&self, vm: &str, wish: &ResizeVm) -> Result<Vm, ClientError> {
        self.call_with(&RESIZE, &[vm], wish).await
    }
}
