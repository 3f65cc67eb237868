//! What may be asked of a VM beside its size: what it runs, who signs for its people, what it shows.

use crate::PublicKey;

/// The choices of a VM. Each has a default, so that a wish from before a choice existed still reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct VmOptions {
    /// What it runs besides its logins.
    pub service: ServiceAsk,
    /// Certificate authorities whose user certificates open the VM.
    pub user_cas: Vec<PublicKey>,
    /// Whether `authorized_keys` files that came with the image count.
    pub image_keys: bool,
    /// Whether the VM has a console that people can type on, where that costs the boot something.
    pub console: bool,
}

/// The image's command as a supervised service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ServiceAsk {
    /// Whether a command runs at all; without one the VM is a machine to log into.
    pub enabled: bool,
    /// In the place of the image's command, behind its entrypoint; `None` is the image's own.
    pub command: Option<Vec<String>>,
    /// What happens when it ends.
    pub restart: RestartPolicy,
}

impl Default for ServiceAsk {
    fn default() -> Self {
        Self {
            enabled: true,
            command: None,
            restart: RestartPolicy::default(),
        }
    }
}

/// Whether a service that ended is started again, with a growing pause between starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When it ended with another status than 0 or was killed.
    #[default]
    OnFailure,
    /// However it ended.
    Always,
}

impl RestartPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::No, Self::OnFailure, Self::Always];

    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// A word that is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no restart policy: write no, on-failure or always")]
pub struct RestartPolicyError(String);

impl std::str::FromStr for RestartPolicy {
    type Err = RestartPolicyError;

    fn from_str(text: &str) -> Result<Self, RestartPolicyError> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| RestartPolicyError(text.to_owned()))
    }
}

impl std::fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a VM's service is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ServiceSeen {
    /// Where it is.
    pub state: ServiceState,
    /// How its last run ended.
    pub exit: Option<ProgramEnd>,
    /// How often it was started again in this boot.
    pub restarts: u32,
    /// Why it could not be started, for people.
    pub message: Option<String>,
}

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It runs.
    Running,
    /// It ended and is started again after a pause.
    BackingOff,
    /// It ended and stays so.
    Ended,
    /// It cannot be started; nothing of it runs.
    Failed,
}

impl ServiceState {
    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::BackingOff => "backing_off",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// How a program in a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramEnd {
    /// By itself, with this status (0 to 255).
    Exited(i32),
    /// By this signal (its number on Linux).
    Killed(i32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_their_words() {
        for policy in RestartPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert!("sometimes".parse::<RestartPolicy>().is_err());
    }
}
