//! Secrets by name: a plan says which one, and never what it is.

use crate::SecretId;

/// One version of a secret. Whoever may know it fetches it by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SecretRef {
    /// The secret.
    pub id: SecretId,
    /// Rises each time its content is replaced, so that a plan changes when the secret does.
    pub version: u64,
}
