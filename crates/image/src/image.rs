//! What a pull gives back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{ByteSize, Digest};

/// An image in the cache, ready to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest for this platform.
    pub digest: Digest,
    /// What it says about running it.
    pub config: ImageConfig,
    /// The disks of its root filesystem: first the one to mount, then its further devices in the order in which
    /// `mount -t erofs -o ro,device=SECOND,device=THIRD FIRST` wants them. All are read-only.
    pub disks: Vec<ImageDisk>,
}

/// An image's configuration (image-spec v1.1, "Image Configuration"). What is empty there is `None` here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`; `None` means root.
    pub user: Option<String>,
    /// Environment, as `NAME=value`.
    pub env: Vec<String>,
    /// What is run; `cmd` are its arguments.
    pub entrypoint: Vec<String>,
    /// What is run without an entrypoint, or its arguments.
    pub cmd: Vec<String>,
    /// The directory it starts in; `None` means `/`.
    pub working_dir: Option<String>,
    /// The signal that stops it, as `SIGTERM` or a number.
    pub stop_signal: Option<String>,
    /// Paths with data of their own.
    pub volumes: Vec<String>,
    /// Ports it serves, as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Arbitrary facts.
    pub labels: BTreeMap<String, String>,
    /// Its processors, by OCI's name.
    pub architecture: String,
    /// Its operating system, by OCI's name.
    pub os: String,
}

/// One read-only disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDisk {
    /// A file of the cache.
    pub path: PathBuf,
    /// What it holds.
    pub kind: DiskKind,
    /// Its length, a multiple of 4096 bytes.
    pub size: ByteSize,
}

/// What a disk of an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskKind {
    /// The file system's metadata, and all file data too if it is the only disk.
    Metadata,
    /// File data of one layer, shared with every image that has the layer.
    Layer,
}

/// A line of the list of cached images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The references that led to it when they were last pulled.
    pub references: Vec<String>,
    /// What its disks take. Layers count in each image that has them.
    pub size: ByteSize,
}

/// A step of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEvent {
    /// The reference leads to this manifest.
    Resolved {
        /// Its digest.
        digest: Digest,
    },
    /// Somebody else is pulling the same image; this pull waits for it.
    Waiting,
    /// A layer has come further.
    LayerProgress {
        /// Which, from 0.
        index: usize,
        /// Of how many.
        count: usize,
        /// Bytes of its blob taken in.
        done: u64,
        /// Bytes of its blob.
        total: u64,
    },
    /// All layers are there; the root filesystem is being made.
    Building,
    /// The image can be attached.
    Ready {
        /// Its digest.
        digest: Digest,
    },
}
