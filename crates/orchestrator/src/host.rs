//! What all VM tasks of a host share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driver::Driver;
use image::Images;
use model::VmId;
use tokio::sync::Notify;

use crate::boots::Boots;
use crate::config::Config;
use crate::memory::{FileError, Memory, free_address};
use crate::network::Network;
use crate::secrets::Secrets;

/// What all VM tasks of a host share. The two maps are the only state that more than one task writes.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) memory: Memory,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) images: Images,
    pub(crate) network: Network,
    pub(crate) boots: Boots,
    pub(crate) secrets: Secrets,
    /// Woken whenever a report would say something new.
    pub(crate) changed: Notify,
    leases: Mutex<BTreeMap<VmId, Ipv4Addr>>,
    removed: Mutex<BTreeMap<VmId, u64>>,
}

impl Host {
    pub(crate) fn new(
        config: Config,
        memory: Memory,
        driver: Arc<dyn Driver>,
        images: Images,
        network: Network,
    ) -> Result<Self, FileError> {
        let leases = Mutex::new(memory.leases()?);
        let removed = Mutex::new(memory.removed()?);
        Ok(Self {
            boots: Boots::new(config.boots),
            secrets: Secrets::default(),
            config,
            memory,
            driver,
            images,
            network,
            changed: Notify::new(),
            leases,
            removed,
        })
    }

    /// The address of a VM, if it has one.
    pub(crate) fn lease(&self, id: VmId) -> Option<Ipv4Addr> {
        lock(&self.leases).get(&id).copied()
    }

    /// Every leased address.
    pub(crate) fn leases(&self) -> BTreeMap<VmId, Ipv4Addr> {
        lock(&self.leases).clone()
    }

    /// The VM's address, leased now if it has none; `None` when no address is free.
    pub(crate) fn lease_take(&self, id: VmId) -> Result<Option<Ipv4Addr>, FileError> {
        let mut leases = lock(&self.leases);
        if let Some(&address) = leases.get(&id) {
            return Ok(Some(address));
        }
        let Some(address) = free_address(self.network.subnet(), &leases) else {
            return Ok(None);
        };
        let mut next = leases.clone();
        next.insert(id, address);
        self.memory.leases_write(&next)?;
        *leases = next;
        Ok(Some(address))
    }

    /// Gives the VM's address back.
    pub(crate) fn lease_release(&self, id: VmId) -> Result<(), FileError> {
        let mut leases = lock(&self.leases);
        let mut next = leases.clone();
        if next.remove(&id).is_some() {
            self.memory.leases_write(&next)?;
            *leases = next;
        }
        Ok(())
    }

    /// The newest removed placement of a VM.
    pub(crate) fn removed(&self, id: VmId) -> Option<u64> {
        lock(&self.removed).get(&id).copied()
    }

    /// Writes down that a placement was removed and is never made again.
    pub(crate) fn removed_add(&self, id: VmId, placement: u64) -> Result<(), FileError> {
        let mut removed = lock(&self.removed);
        let mut next = removed.clone();
        let newest = next.entry(id).or_default();
        *newest = placement.max(*newest);
        self.memory.removed_write(&next)?;
        *removed = next;
        Ok(())
    }
}

/// The maps are replaced whole, so a panic elsewhere cannot have left one half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
