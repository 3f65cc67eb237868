//! A VM as callers see it: what is asked of it, what its host says, and where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use model::{PrincipalId, Status, VmId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Service;

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    /// Its id, which it keeps for life.
    #[schema(value_type = String, example = "vm_00000000000000000000000000")]
    pub id: VmId,
    /// Its name.
    #[schema(example = "web")]
    pub name: String,
    /// Who owns it: the name of a user or team.
    #[serde(default)]
    #[schema(required, example = "ann")]
    pub owner: String,
    /// The owner's id.
    #[serde(default)]
    #[schema(required, value_type = Option<String>, example = "user_00000000000000000000000000")]
    pub owner_id: Option<PrincipalId>,
    /// What the caller may do with it: `use`, `manage` or `own`, each with all before it; null where it was just given
    /// away. More may come.
    #[serde(default)]
    #[schema(required, example = "own")]
    pub access: Option<String>,
    /// Where it stands.
    pub status: VmStatus,
    /// Why it is not as asked.
    #[schema(required)]
    pub reason: Option<Reason>,
    /// What is being done right now.
    #[schema(required)]
    pub stage: Option<Stage>,
    /// The image that was asked for.
    #[schema(example = "docker.io/library/debian:12")]
    pub image: String,
    /// The manifest it was resolved to.
    #[schema(required)]
    pub image_digest: Option<String>,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Size of the writable disk in bytes.
    pub disk_bytes: u64,
    /// What is asked: `on` or `off`.
    #[schema(example = "on")]
    pub power: String,
    /// Rises with each change of what is asked.
    pub generation: u64,
    /// The newest generation its host has finished with, in success or failure; 0 before the first.
    #[serde(default)]
    #[schema(required)]
    pub settled_generation: u64,
    /// The name of its host.
    #[schema(required, example = "box1")]
    pub host: Option<String>,
    /// Its address.
    #[schema(required, value_type = Option<String>, example = "172.30.0.3")]
    pub address: Option<IpAddr>,
    /// The port of its SSH server.
    #[schema(required, minimum = 1, maximum = 65535, example = 2222)]
    pub ssh_port: Option<u16>,
    /// The login name to use.
    #[schema(required, example = "fred")]
    pub login: Option<String>,
    /// The first of its host keys.
    #[schema(
        required,
        example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu"
    )]
    pub host_key: Option<String>,
    /// Its SSH server's host keys, one `TYPE BASE64` line each.
    #[serde(default)]
    #[schema(required)]
    pub host_keys: Vec<String>,
    /// A command line that signs in and pins the host key.
    #[schema(required)]
    pub ssh: Option<String>,
    /// The keys that open this VM alone: OpenSSH public keys, one line each.
    #[serde(default)]
    #[schema(required)]
    pub keys: Vec<String>,
    /// Whether the keys of its owner's account open it as well.
    #[serde(default)]
    #[schema(required)]
    pub user_keys: bool,
    /// Its labels.
    #[serde(default)]
    #[schema(required, example = json!({ "tier": "web" }))]
    pub labels: BTreeMap<String, String>,
    /// Certificate authorities whose user certificates open it, one OpenSSH public key each.
    #[serde(default)]
    #[schema(required)]
    pub user_cas: Vec<String>,
    /// Whether `authorized_keys` files that came with the image count.
    #[serde(default)]
    #[schema(required)]
    pub image_keys: bool,
    /// Whether a console was asked for where that costs the boot something.
    #[serde(default)]
    #[schema(required)]
    pub console: bool,
    /// What it runs besides its logins.
    #[serde(default)]
    #[schema(required)]
    pub service: Service,
    /// When it is stopped for having lived long enough, RFC 3339 in UTC.
    #[serde(default)]
    #[schema(required, format = "date-time")]
    pub expires_at: Option<String>,
    /// When it is removed after that, once it is off.
    #[serde(default)]
    #[schema(required, format = "date-time")]
    pub removed_at: Option<String>,
    /// Seconds without a session and without work until it is stopped.
    #[serde(default)]
    #[schema(required)]
    pub idle_after_seconds: Option<u64>,
    /// Seconds that it outlives the last sign of its client.
    #[serde(default)]
    #[schema(required)]
    pub lease_seconds: Option<u64>,
    /// When it was asked for, RFC 3339 in UTC.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00Z")]
    pub created_at: String,
}

/// Where a VM stands, kept as the text that came.
///
/// Known today: `INIT`, `BUILDING_FILESYSTEM`, `BOOTING`, `RUNNING`, `STOPPING`, `STOPPED`, `ERROR`, `DELETING`,
/// `UNKNOWN`. More may come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(example = "RUNNING")]
pub struct VmStatus(String);

impl VmStatus {
    /// The status, where this version knows it.
    pub fn known(&self) -> Option<Status> {
        self.0.parse().ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Status> for VmStatus {
    fn from(status: Status) -> Self {
        Self(status.as_str().to_owned())
    }
}

impl fmt::Display for VmStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a VM is not as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// What programs look at.
    #[schema(example = "image_not_found")]
    pub code: String,
    /// What happened.
    pub message: String,
    /// The next step.
    pub hint: String,
    /// Whether the host tries again by itself.
    pub retried: bool,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// What it is.
    #[schema(example = "pulling layer 2 of 3")]
    pub what: String,
    /// How much of it is done, in the unit of `total`.
    pub done: u64,
    /// How much there is; 0 where unknown.
    pub total: u64,
}
