//! What a machine is made of. Every path and device named here is there before a driver sees it.

use std::path::PathBuf;

use model::{ByteSize, MacAddr, VmId};

/// One machine, complete: nothing is looked up elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// Whose machine it is; there is at most one per id.
    pub id: VmId,
    /// For people who list processes.
    pub name: String,
    /// Virtual processors, at least one.
    pub cpus: u32,
    /// The guest's memory.
    pub memory: ByteSize,
    /// In the order in which the guest's firmware lists them; guests find theirs by serial.
    pub disks: Vec<Disk>,
    /// The way into the network, if it has one.
    pub nic: Option<Nic>,
    /// What it boots; without one it runs its firmware only.
    pub kernel: Option<Kernel>,
    /// Whether it has a console that people can type on, where that is not free.
    pub console: bool,
    /// The number of the user and group that its VMM runs as, nobody else's on this host; 0 where the driver needs none.
    pub owner: u32,
}

/// A disk: a file of the host that the guest sees as a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file, raw.
    pub path: PathBuf,
    /// What the guest reads in `/sys/block/*/serial`; at most 20 bytes (virtio 1.2 section 5.2.6.1).
    pub serial: String,
    /// Whether the guest can only read it; such a file may be shared by many machines.
    pub read_only: bool,
}

/// A network card on a TAP that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The TAP's interface name.
    pub tap: String,
    /// The card's address.
    pub mac: MacAddr,
}

/// What is booted directly, without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// An ELF kernel with a PVH entry.
    pub vmlinux: PathBuf,
    /// An uncompressed cpio archive.
    pub initramfs: PathBuf,
    /// Kernel arguments besides those that the driver gives.
    pub extra_args: Vec<String>,
}
