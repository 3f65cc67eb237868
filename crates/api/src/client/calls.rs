//! A method per endpoint, named as its operation.

use futures_util::Stream;

use http::header::{CONTENT_TYPE, IF_MATCH};

use super::follow::{EventId, Received, follow};
use super::{Client, ClientError};
use crate::{Adopt, ChangeVm, CreateVm, MERGE_PATCH_MEDIA_TYPE, Version, Vm, events, hosts, service, vms};

/// All of them fail as [`ClientError`] says. `vm` and `host` are ids or names.
impl Client {
    /// Asks for a new VM.
    pub async fn vm_create(&self, vm: &CreateVm) -> Result<Vm, ClientError> {
        self.call_with(&vms::CREATE, &[], vm).await
    }

    /// One VM.
    pub async fn vm_get(&self, vm: &str) -> Result<Vm, ClientError> {
        self.call(&vms::GET, &[vm]).await
    }

    /// Asks for something else of a VM.
    pub async fn vm_change(&self, vm: &str, change: &ChangeVm) -> Result<Vm, ClientError> {
        self.call_with(&vms::CHANGE, &[vm], change).await
    }

    /// Asks for something else of a VM, if what is asked of it is still this generation.
    pub async fn vm_change_at(
        &self,
        vm: &str,
        generation: u64,
        change: &ChangeVm,
    ) -> Result<Vm, ClientError> {
        let request = self.request(&vms::CHANGE, &[vm])?;
        let request = request.header(IF_MATCH, format!("\"{generation}\""));
        let request = request.header(CONTENT_TYPE, MERGE_PATCH_MEDIA_TYPE);
        self.answer(request.json(change)).await
    }

    /// Asks for a VM to go. The answer is the VM as it goes.
    pub async fn vm_delete(&self, vm: &str) -> Result<Vm, ClientError> {
        self.call(&vms::DELETE, &[vm]).await
    }

    /// Asks for a VM to run.
    pub async fn vm_start(&self, vm: &str) -> Result<Vm, ClientError> {
        self.call(&vms::START, &[vm]).await
    }

    /// Asks for a VM to be off.
    pub async fn vm_stop(&self, vm: &str) -> Result<Vm, ClientError> {
        self.call(&vms::STOP, &[vm]).await
    }

    /// Follows a VM from its first event, or from after `after`. A broken connection is made again and goes on
    /// where it broke.
    pub fn vm_events(
        &self,
        vm: &str,
        after: Option<EventId>,
    ) -> impl Stream<Item = Result<Received, ClientError>> + Send + use<> {
        follow(self.clone(), &events::VM_EVENTS, Some(vm.to_owned()), after)
    }

    /// Follows all VMs that this client may see, from now on or from after `after`.
    pub fn event_list(
        &self,
        after: Option<EventId>,
    ) -> impl Stream<Item = Result<Received, ClientError>> + Send + use<> {
        follow(self.clone(), &events::LIST, None, after)
    }

    /// Takes a found VM over.
    pub async fn host_found_adopt(&self, host: &str, vm: &str, adopt: &Adopt) -> Result<Vm, ClientError> {
        self.call_with(&hosts::ADOPT, &[host, vm], adopt).await
    }

    /// Removes a found VM.
    pub async fn host_found_delete(&self, host: &str, vm: &str) -> Result<(), ClientError> {
        let request = self.request(&hosts::FOUND_DELETE, &[host, vm])?;
        self.send(request.timeout(super::REQUEST_LIMIT)).await.map(drop)
    }

    /// The versions served.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.call(&service::VERSION, &[]).await
    }
}
