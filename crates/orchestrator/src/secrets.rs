//! The secrets that plans name: asked of control when they are needed, and kept nowhere.

use std::sync::OnceLock;

use link::{Link, SecretError};
use model::{HostId, RegistryCredentials, SecretRef, VmId};
use wire::secret::SecretRequest;

/// The way to control, once there is one. A host that starts its VMs before control is there goes on from its cache.
#[derive(Default)]
pub(crate) struct Secrets(OnceLock<(HostId, Link)>);

impl Secrets {
    /// From now on control is asked by this way, as this host.
    pub(crate) fn connect(&self, host: HostId, link: Link) {
        // A service runs once.
        let _ = self.0.set((host, link));
    }

    /// The credentials for a VM's image; `None` where its plan names none.
    pub(crate) async fn registry(
        &self,
        vm: VmId,
        secret: Option<SecretRef>,
    ) -> Result<Option<RegistryCredentials>, SecretError> {
        let Some(secret) = secret else {
            return Ok(None);
        };
        let (host, link) = self.0.get().ok_or(SecretError::Away)?;
        let request = SecretRequest { vm, secret };
        link.fetch_secret(*host, request).await.map(Some)
    }
}
