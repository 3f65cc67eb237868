//! What an orchestrator is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use model::{Capacity, HostName};

use crate::boots::BootLimits;
use crate::log::LogLimits;
use crate::network::NetworkConfig;

/// What an orchestrator is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the host's memory is kept.
    pub state: PathBuf,
    /// The host's name.
    pub name: HostName,
    /// The program's version, for reports.
    pub version: String,
    /// Kernel and initramfs of the guests, for a driver that needs them.
    pub kernel: Option<KernelFiles>,
    /// The host network.
    pub network: NetworkConfig,
    /// What the host offers.
    pub capacity: Capacity,
    /// How long a guest may take from the start of its VMM until it accepts SSH. Too short fails boots on a busy
    /// host under software emulation; too long leaves people waiting for a guest that hangs.
    pub boot_deadline: Duration,
    /// How many VMs boot at the same time.
    pub boots: BootLimits,
    /// How long a guest's processes have to end before they are killed.
    pub stop_grace: Duration,
    /// How often a report is sent although nothing changed.
    pub report_every: Duration,
    /// How much of the log of each VM's service is kept.
    pub log: LogLimits,
    /// The pause before a failed step is tried again; it doubles up to 32 times this.
    pub retry_after: Duration,
}

/// The guests' kernel, and the initramfs that holds powerunit.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    /// An uncompressed ELF kernel.
    pub vmlinux: PathBuf,
    /// An uncompressed cpio archive.
    pub initramfs: PathBuf,
    /// A disk with all modules of this kernel, EROFS, shared by every VM; without it guests have those of the initramfs.
    pub modules: Option<PathBuf>,
}
