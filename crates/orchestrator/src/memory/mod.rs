//! The host's memory: its folders.
//!
//! ```text
//!   STATE/host/host.json          who this host is, whom it obeys, how often it started
//!   STATE/host/plan               the last accepted plan, as it came
//!   STATE/host/leases.json        address of each VM
//!   STATE/host/removed.json       placements that were removed, never to be made again
//!   STATE/host/vms/ID/vm.json     the VM's entry, counters, outcome
//!   STATE/host/vms/ID/host_key    the VM's SSH host key
//!   STATE/host/vms/ID/upper.ext4  what the VM writes
//! ```
//!
//! Always holds: each file is replaced whole and synced before the step it allows, so after a crash the memory
//! says at most one step more than was done, and every step can be done again.

mod files;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use model::{HostId, InstallationId, Subnet, VmId};
use serde::{Deserialize, Serialize};
use wire::host::HostPlan;

pub use files::FileError;
pub(crate) use files::{is_disk_full, sync_parent};
pub use record::{BootOutcome, VmRecord};

/// Who this host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The host's id, drawn at its first start.
    pub host: HostId,
    /// The installation it obeys, from its first accepted plan on.
    pub installation: Option<InstallationId>,
    /// Rises with each start.
    pub start: u64,
}

/// The folders, opened.
#[derive(Debug, Clone)]
pub struct Memory {
    root: PathBuf,
}

/// What was found in the folder of one VM.
#[derive(Debug)]
pub enum Remembered {
    /// Its entry.
    Whole(Box<VmRecord>),
    /// The entry cannot be read.
    Damaged(VmId, FileError),
}

impl Memory {
    /// Opens the folders below `state`, making those that are not there.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(state: &Path) -> Result<Self, FileError> {
        let root = state.join("host");
        files::make_directory(&root.join("vms"))?;
        Ok(Self { root })
    }

    /// Who this host is, with this start counted. `now_ms` is the wall clock in milliseconds since 1970, `random`
    /// becomes the id of a host that has none.
    ///
    /// # Errors
    /// The file is damaged or cannot be written. A host that forgot who it is must not guess.
    pub fn begin(&self, now_ms: u64, random: [u8; 16]) -> Result<Identity, FileError> {
        let mut identity = files::read_json(&self.identity_path())?.unwrap_or(Identity {
            host: HostId::from_random(random),
            installation: None,
            start: 0,
        });
        identity.start = now_ms.max(identity.start + 1);
        self.identity_write(&identity)?;
        Ok(identity)
    }

    /// Writes down who this host is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn identity_write(&self, identity: &Identity) -> Result<(), FileError> {
        files::replace_json(&self.identity_path(), identity)
    }

    /// The last accepted plan.
    ///
    /// # Errors
    /// The file cannot be read, or is no plan.
    pub fn plan(&self) -> Result<Option<HostPlan>, FileError> {
        let path = self.root.join("plan");
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        HostPlan::decode(&bytes)
            .map(Some)
            .map_err(|error| FileError::Damaged {
                path,
                source: error.into(),
            })
    }

    /// Writes the accepted plan down; from here on it is the last one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plan_write(&self, plan: &HostPlan) -> Result<(), FileError> {
        files::replace(&self.root.join("plan"), &plan.encode())
    }

    /// The address of each VM.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn leases(&self) -> Result<BTreeMap<VmId, Ipv4Addr>, FileError> {
        Ok(files::read_json(&self.root.join("leases.json"))?.unwrap_or_default())
    }

    /// Writes the addresses down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn leases_write(&self, leases: &BTreeMap<VmId, Ipv4Addr>) -> Result<(), FileError> {
        files::replace_json(&self.root.join("leases.json"), leases)
    }

    /// The newest removed placement of each VM that was here.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn removed(&self) -> Result<BTreeMap<VmId, u64>, FileError> {
        Ok(files::read_json(&self.root.join("removed.json"))?.unwrap_or_default())
    }

    /// Writes the removed placements down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn removed_write(&self, removed: &BTreeMap<VmId, u64>) -> Result<(), FileError> {
        files::replace_json(&self.root.join("removed.json"), removed)
    }

    /// Everything that is remembered of VMs. Folders that name no VM are not ours and stay.
    ///
    /// # Errors
    /// The folder of VMs cannot be listed.
    pub fn vms(&self) -> Result<Vec<Remembered>, FileError> {
        let root = self.root.join("vms");
        let unread = |source| FileError::Read {
            path: root.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&root).map_err(unread)? {
            let name = entry.map_err(unread)?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<VmId>().ok()) else {
                continue;
            };
            match files::read_json::<VmRecord>(&self.record_path(id)) {
                Ok(Some(record)) if record.id == id => found.push(Remembered::Whole(Box::new(record))),
                Ok(_) => found.push(Remembered::Damaged(
                    id,
                    FileError::Damaged {
                        path: self.record_path(id),
                        source: "its entry is not there".into(),
                    },
                )),
                Err(error) => found.push(Remembered::Damaged(id, error)),
            }
        }
        Ok(found)
    }

    /// Writes the entry of a VM down, making its folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn vm_write(&self, record: &VmRecord) -> Result<(), FileError> {
        let folder = self.vm_folder(record.id);
        if !folder.is_dir() {
            files::make_directory(&folder)?;
            sync_parent(&folder).map_err(|source| FileError::Write { path: folder, source })?;
        }
        files::replace_json(&self.record_path(record.id), record)
    }

    /// Removes the folder of a VM with all in it, whatever state it is in.
    ///
    /// # Errors
    /// Something in it cannot be removed.
    pub fn vm_remove(&self, id: VmId) -> Result<(), FileError> {
        files::remove_directory(&self.vm_folder(id))
    }

    /// The folder of a VM.
    pub fn vm_folder(&self, id: VmId) -> PathBuf {
        self.root.join("vms").join(id.to_string())
    }

    /// The SSH host key of a VM as an OpenSSH private key file, or `None` before the first boot.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn host_key(&self, id: VmId) -> Result<Option<String>, FileError> {
        let path = self.vm_folder(id).join("host_key");
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| FileError::Damaged {
                path,
                source: error.utf8_error().into(),
            })
    }

    /// Writes the SSH host key of a VM down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn host_key_write(&self, id: VmId, pem: &str) -> Result<(), FileError> {
        files::replace(&self.vm_folder(id).join("host_key"), pem.as_bytes())
    }

    fn identity_path(&self) -> PathBuf {
        self.root.join("host.json")
    }

    fn record_path(&self, id: VmId) -> PathBuf {
        self.vm_folder(id).join("vm.json")
    }
}

/// The lowest address of `subnet` that is not leased.
pub(crate) fn free_address(subnet: Subnet, leases: &BTreeMap<VmId, Ipv4Addr>) -> Option<Ipv4Addr> {
    let taken: BTreeSet<_> = leases.values().copied().collect();
    subnet.vm_addresses().find(|address| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> VmId {
        VmId::from_random([byte; 16])
    }

    #[test]
    fn each_start_has_a_greater_number_even_when_the_clock_goes_back() {
        let state = tempfile::tempdir().unwrap();
        let memory = Memory::open(state.path()).unwrap();
        let first = memory.begin(1000, [1; 16]).unwrap();
        let second = memory.begin(400, [2; 16]).unwrap();
        assert_eq!((first.start, second.start), (1000, 1001));
        assert_eq!(first.host, second.host);
    }

    #[test]
    fn the_lowest_free_address_is_leased() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let mut leases = BTreeMap::from([
            (id(1), Ipv4Addr::new(10, 0, 0, 3)),
            (id(2), Ipv4Addr::new(10, 0, 0, 5)),
        ]);
        assert_eq!(free_address(subnet, &leases), Some(Ipv4Addr::new(10, 0, 0, 4)));
        leases.insert(id(3), Ipv4Addr::new(10, 0, 0, 4));
        leases.insert(id(4), Ipv4Addr::new(10, 0, 0, 6));
        assert_eq!(free_address(subnet, &leases), None);
    }

    #[test]
    fn a_damaged_entry_is_told_from_a_whole_one() {
        let state = tempfile::tempdir().unwrap();
        let memory = Memory::open(state.path()).unwrap();
        let body = crate::testing::body("a");
        memory.vm_write(&VmRecord::new(id(1), 1, 1, body)).unwrap();
        std::fs::create_dir(memory.vm_folder(id(2))).unwrap();
        std::fs::create_dir(state.path().join("host/vms/lost+found")).unwrap();
        let mut kinds: Vec<_> = memory
            .vms()
            .unwrap()
            .into_iter()
            .map(|vm| match vm {
                Remembered::Whole(record) => (record.id, true),
                Remembered::Damaged(id, _) => (id, false),
            })
            .collect();
        kinds.sort();
        assert_eq!(kinds, [(id(1), true), (id(2), false)]);
    }
}
