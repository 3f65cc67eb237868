//! What the host writes down of one VM.

use model::{Digest, Reason, RequestId, VmBody, VmId};
use serde::{Deserialize, Serialize};

/// The memory of one VM: `vm.json` in its folder. It is written before the step that it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// The VM.
    pub id: VmId,
    /// The placement it stands for.
    pub placement: u64,
    /// The generation of `body` and `remove`.
    pub accepted: u64,
    /// The request that asked for that generation, for the log.
    #[serde(default)]
    pub request: Option<RequestId>,
    /// Whether it must go.
    pub remove: bool,
    /// What is asked.
    pub body: VmBody,
    /// The root file system counter that was made, 0 before the first.
    pub rootfs: u64,
    /// The root file system counter that could not be made, for a reason that only a new wish mends; 0 where there is
    /// none. It is tried again with the next boot, and not before.
    #[serde(default)]
    pub rootfs_failed: u64,
    /// What the image reference was resolved to for `rootfs`.
    pub image: Option<Digest>,
    /// The last boot counter acted on, 0 before the first.
    pub boot: u64,
    /// What became of that boot.
    pub outcome: BootOutcome,
}

/// What became of the last boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootOutcome {
    /// Nothing runs, and nothing should: never booted, or stopped as asked.
    Off,
    /// The guest powered itself off. It stays so until another boot is asked.
    PoweredOff,
    /// It was begun and has not ended, as far as the host has seen. Where no VMM is found the host itself went
    /// down, and the same boot is begun again.
    Begun,
    /// It ended in a way that only a new wish mends.
    Failed(Reason),
}

impl VmRecord {
    /// The memory of a VM that was just named by a plan.
    pub const fn new(id: VmId, placement: u64, accepted: u64, body: VmBody) -> Self {
        Self {
            id,
            placement,
            accepted,
            request: None,
            remove: false,
            body,
            rootfs: 0,
            rootfs_failed: 0,
            image: None,
            boot: 0,
            outcome: BootOutcome::Off,
        }
    }

    /// Whether another disk is asked than the VM has, and making it has not failed for good.
    pub const fn wants_disk(&self) -> bool {
        self.body.rootfs > self.rootfs && self.body.rootfs > self.rootfs_failed
    }
}
