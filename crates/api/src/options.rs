//! What a VM runs besides its logins: the image's command as a service, as it is asked for and as it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked of a new VM's service. What is left out takes its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateService {
    /// Whether a command runs at all, true where left out; without one the VM is a machine to log into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// In the place of the image's command, behind its entrypoint; the image's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 1024, example = json!(["nginx", "-g", "daemon off;"]))]
    pub command: Option<Vec<String>>,
    /// What happens when it ends: `no`, `on-failure` (where left out) or `always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "on-failure")]
    pub restart: Option<String>,
}

/// A VM's service: what is asked of it, and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Whether a command is to run at all.
    pub enabled: bool,
    /// In the place of the image's command; null is the image's own.
    #[schema(required)]
    pub command: Option<Vec<String>>,
    /// What happens when it ends: `no`, `on-failure`, `always`; more may come.
    #[schema(example = "on-failure")]
    pub restart: String,
    /// Where it is: `running`, `backing_off` (it ended and is started again after a pause), `ended` (and stays so),
    /// `failed` (it cannot be started); more may come. Null where there is none, as in a machine to log into, or
    /// none was heard of yet.
    #[schema(required, example = "running")]
    pub state: Option<String>,
    /// The status that its last run ended with.
    #[schema(required, example = 1)]
    pub exit_code: Option<i32>,
    /// The signal that ended its last run, by its number on Linux.
    #[schema(required, example = json!(null))]
    pub signal: Option<i32>,
    /// How often it was started again in this boot.
    pub restarts: u32,
    /// Why it could not be started.
    #[schema(required, example = json!(null))]
    pub message: Option<String>,
}
