//! A secret on its way from control to the host that needs it.

use model::{HostId, RegistryCredentials};
use tokio::sync::oneshot;
use wire::secret::{SecretRefusal, SecretRequest};

/// Why a host has no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Control cannot be reached, or has gone before it answered.
    #[error("control is not connected")]
    Away,
    /// Control does not take what hosts ask.
    #[error("control does not take what hosts ask")]
    Busy,
    /// Control does not give it.
    #[error(transparent)]
    Refused(#[from] SecretRefusal),
}

/// A host asks for a secret. Dropped without an answer, control has gone.
pub struct SecretAsk {
    /// Who asks; the way itself says so, not the host.
    pub host: HostId,
    /// What for.
    pub request: SecretRequest,
    pub(crate) answer: oneshot::Sender<Result<RegistryCredentials, SecretRefusal>>,
}

impl SecretAsk {
    /// Answers it.
    pub fn answer(self, answer: Result<RegistryCredentials, SecretRefusal>) {
        // A host that has gone needs none.
        let _ = self.answer.send(answer);
    }
}
