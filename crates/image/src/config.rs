//! What the caller decides.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of processor, by the name that OCI gives it (Go's `GOARCH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// That of the machine this program was built for.
    pub const HOST: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::Amd64
    };

    /// OCI's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The settings of [`Images`](crate::Images).
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of the cache; made if missing. Nobody else may write there.
    pub root: PathBuf,
    /// For which processors images are taken.
    pub architecture: Architecture,
    /// The most disks an image may become, the one with its metadata included. An image with more layers
    /// becomes one disk that holds everything, a copy of its layers.
    pub max_disks: usize,
    /// Registries, as `HOST[:PORT]`, that are spoken to without TLS. Those on loopback addresses always are.
    pub insecure_registries: Vec<String>,
    /// What an image may cost.
    pub limits: Limits,
    /// How long to wait, and how often to try.
    pub patience: Patience,
}

impl Config {
    /// The defaults, for a cache in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            architecture: Architecture::HOST,
            max_disks: 8,
            insecure_registries: Vec::new(),
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// Bounds on what an image may cost. They stop hostile images; honest ones stay far below.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Layers of an image.
    pub layers: usize,
    /// Bytes of one layer's blob, as it is stored in the registry.
    pub blob_bytes: u64,
    /// Bytes of one layer's files.
    pub unpacked_bytes: u64,
    /// Entries of one layer.
    pub entries: u64,
    /// Bytes of one layer's names, link targets and attributes. They are held in memory.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layers: 500,
            blob_bytes: 64 << 30,
            unpacked_bytes: 256 << 30,
            entries: 4_000_000,
            metadata_bytes: 512 << 20,
        }
    }
}

/// How long to wait for a registry, and how often to try.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the next byte.
    pub idle: Duration,
    /// How often something is tried, the first time included.
    pub attempts: u32,
    /// Between the first and the second attempt; it doubles each time.
    pub back_off: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            attempts: 4,
            back_off: Duration::from_millis(250),
        }
    }
}
