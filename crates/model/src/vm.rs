//! A VM as it was asked for and as it was seen.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use crate::{ByteSize, Digest, ImageRef, PublicKey, Reason, SecretRef, ServiceSeen, VmId, VmName, VmOptions};

/// Whether a VM is asked to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Asked to run.
    On,
    /// Asked to be stopped.
    Off,
}

/// Something a host must be able to do before it takes a VM; a host that lacks one refuses that VM.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Feature(Cow<'static, str>);

impl Feature {
    /// Makes a machine from an OCI image.
    pub const OCI_IMAGE: Self = Self(Cow::Borrowed("oci-image"));
    /// Makes a machine from an OCI layout directory of the host itself.
    pub const OCI_LAYOUT: Self = Self(Cow::Borrowed("oci-layout"));
    /// Obeys [`VmOptions`] that are not the default ones.
    pub const OPTIONS: Self = Self(Cow::Borrowed("options"));
    /// Judges whether a VM with [`VmBody::idle_after`] is idle. Without it such a VM would run for ever.
    pub const IDLE: Self = Self(Cow::Borrowed("idle"));

    /// Fetches the credentials that [`VmBody::registry_secret`] names.
    pub const REGISTRY_SECRET: Self = Self(Cow::Borrowed("registry-secret"));

    /// A feature by its name, known to this version or not.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything asked of a VM that a host acts on. Each change of it raises the VM's generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct VmBody {
    /// The name and hostname.
    pub name: VmName,
    /// The image; a tag is resolved to a digest by the host, once per `rootfs`.
    pub image: ImageRef,
    /// Virtual processors, at least 1.
    pub cpus: u32,
    /// Memory.
    pub memory: ByteSize,
    /// Size of the writable disk.
    pub disk: ByteSize,
    /// Whether it is asked to run.
    pub power: Power,
    /// Counter of boots asked for. A guest that ended at boot 7 stays off until boot 8 is asked.
    pub boot: u64,
    /// Counter of root file systems asked for. It rises when the writable disk shall be made anew.
    pub rootfs: u64,
    /// Who may sign in over SSH.
    pub authorized_keys: Vec<PublicKey>,
    /// What the host must be able to do.
    pub needs: BTreeSet<Feature>,
    /// What it runs, and how people get at it.
    #[serde(default)]
    pub options: VmOptions,
    /// Fingerprints (`SHA256:…`) of keys whose open SSH sessions must end. They may be in force elsewhere still, and a
    /// key that is only missing from `authorized_keys` leaves its open sessions alone.
    #[serde(default)]
    pub barred: BTreeSet<String>,
    /// Seconds without use after which the host calls the VM idle; `None`: it never does.
    #[serde(default)]
    pub idle_after: Option<u64>,
    /// The credentials that the image is pulled with, by name; without, it is pulled as anybody may.
    #[serde(default)]
    pub registry_secret: Option<SecretRef>,
}

/// What was asked of a VM, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The VM.
    pub id: VmId,
    /// Rises when the VM moves to another host; a removed placement is never made again.
    pub placement: u64,
    /// Rises with each change of what is asked.
    pub generation: u64,
    /// Whether it is asked to go.
    pub remove: bool,
    /// The wish itself.
    pub body: VmBody,
}

/// Where a VM is on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Taken on; nothing made yet.
    Accepted,
    /// The image is pulled or the root file system is made.
    BuildingFilesystem,
    /// The VMM is starting, or the guest is on its way to SSH.
    Booting,
    /// The guest accepts SSH.
    Running,
    /// The guest was told to power off.
    Stopping,
    /// Off; disk, address and host key are kept.
    Stopped,
    /// Not as asked; the reason says why.
    Failed,
    /// Everything of it is being removed.
    Removing,
    /// Nothing of it is left.
    Gone,
}

/// Progress inside a phase, for people to watch. Never stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Stage {
    /// What is being done, such as `pulling layer 2 of 3`.
    pub what: String,
    /// How much of it is done, in the unit of `total` (bytes, for a pull).
    pub done: u64,
    /// How much there is, 0 where unknown.
    pub total: u64,
}

/// Whether anybody uses a VM that has [`VmBody::idle_after`]. The host judges it, per boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// It is used, or nobody asked or can tell.
    #[default]
    Active,
    /// It becomes idle in at most 10 minutes, or a tenth of the time asked where that is less.
    Soon,
    /// It was not used for the time asked.
    Idle,
}

/// What a host saw of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// The placement this speaks of.
    pub placement: u64,
    /// The newest generation the host holds for the VM.
    pub accepted: u64,
    /// The newest generation the host has finished with, in success or failure.
    pub settled: u64,
    /// Where the VM is.
    pub phase: Phase,
    /// The boot counter the phase speaks of.
    pub boot: u64,
    /// The root file system counter that was made.
    pub rootfs: u64,
    /// Why it is not as asked.
    pub reason: Option<Reason>,
    /// Progress inside the phase.
    pub stage: Option<Stage>,
    /// The address, from when it is leased until the VM is gone.
    pub address: Option<Ipv4Addr>,
    /// The port of its SSH server.
    pub ssh_port: Option<u16>,
    /// The login name to use.
    pub login: Option<String>,
    /// The SSH server's host keys, one `TYPE BASE64` line each.
    pub host_keys: Vec<String>,
    /// The manifest that the image reference was resolved to.
    pub image_digest: Option<Digest>,
    /// The image's command, once it was started in this boot.
    #[serde(default)]
    pub service: Option<ServiceSeen>,
    /// Whether the guest powered itself off at `boot`; then it stays off until another boot is asked.
    #[serde(default)]
    pub powered_off: bool,
    /// Whether it is used.
    #[serde(default)]
    pub idle: Idle,
}

/// What a host can hold in all, and what its VMs are given of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capacity {
    /// Virtual processors it offers.
    pub cpus: u32,
    /// Memory it offers.
    pub memory_bytes: u64,
    /// Disk it offers.
    pub disk_bytes: u64,
}

/// An image that a host holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HeldImage {
    /// Its manifest.
    pub digest: Digest,
    /// The references it was pulled by.
    pub references: Vec<String>,
    /// Bytes it takes on the host's disk.
    pub size_bytes: u64,
}
