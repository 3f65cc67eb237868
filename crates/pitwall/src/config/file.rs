//! The configuration file, close to its text.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::door::FileRates;

const DEFAULTS: &str = include_str!("../../config.default.toml");

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("failed to read the configuration file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration file {path} is not valid: {source}")]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: String,
    pub(super) tls_cert: PathBuf,
    pub(super) tls_key: PathBuf,
    pub(super) insecure_listen: bool,
    pub(super) metrics_listen: String,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) connections: usize,
    pub(super) connections_per_address: usize,
    pub(super) quota_vms: u64,
    pub(super) quota_cpus: u64,
    pub(super) quota_memory_mib: u64,
    pub(super) quota_disk_mib: u64,
    pub(super) quota_running: u64,
    pub(super) events_keep_days: u64,
    pub(super) events_keep_rows: u64,
    pub(super) audit_keep_days: u64,
    pub(super) answers_keep_hours: u64,
    pub(super) rates: FileRates,
    pub(super) state: PathBuf,
    pub(super) run: PathBuf,
    pub(super) log: Log,
    pub(super) host: Host,
    pub(super) firecracker: Firecracker,
    pub(super) network: Network,
    pub(super) image: Image,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) filter: String,
    pub(super) format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) bundle: PathBuf,
    pub(super) driver: Vmm,
    pub(super) accelerator: Accelerator,
    pub(super) boot_deadline_seconds: u64,
    pub(super) max_boots: usize,
    pub(super) stop_grace_seconds: u64,
    pub(super) cpu_overcommit: u32,
    pub(super) disk_overcommit: u64,
    pub(super) memory_percent: u64,
    pub(super) log_file_mib: u64,
    pub(super) log_files: u64,
    pub(super) first_owner: u32,
}

/// What runs VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Vmm {
    Auto,
    Firecracker,
    Qemu,
}

/// The settings of Firecracker; empty paths and words stand for none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Firecracker {
    pub(crate) binary: PathBuf,
    pub(crate) jailer: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) kernel_arguments: String,
    pub(crate) cpu_template: PathBuf,
}

/// What executes guest instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Accelerator {
    Auto,
    Kvm,
    Tcg,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) bridge: String,
    pub(super) subnet: String,
    pub(super) outbound: String,
    pub(super) resolvers: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub(super) insecure_registries: Vec<String>,
}

impl File {
    /// The defaults that are part of the program.
    pub(super) fn defaults() -> Result<Self, FileError> {
        toml::from_str(DEFAULTS).map_err(|source| FileError::Parse {
            path: PathBuf::from("config.default.toml"),
            source: Box::new(source),
        })
    }

    /// Lays a file over what is there, key by key.
    pub(super) fn overlay(&mut self, path: &Path) -> Result<(), FileError> {
        let parse = |source: toml::de::Error| FileError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.overlay_text(&text).map_err(parse)
    }

    /// Lays a file's text over the defaults, key by key.
    pub(super) fn overlay_text(&mut self, text: &str) -> Result<(), toml::de::Error> {
        let mut merged = DEFAULTS.parse::<Table>()?;
        merge(&mut merged, text.parse::<Table>()?);
        *self = Self::deserialize(merged)?;
        Ok(())
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
