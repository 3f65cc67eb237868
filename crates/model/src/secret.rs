//! Secrets by name, and what they are. A plan says which one, and never what it is.

use std::fmt;

use crate::SecretId;

/// One version of a secret. Whoever may know it fetches it by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SecretRef {
    /// The secret.
    pub id: SecretId,
    /// Rises each time its content is replaced, so that a plan changes when the secret does.
    pub version: u64,
}

/// What a registry wants to know before it gives an image. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RegistryCredentials {
    /// Who signs in.
    pub username: String,
    /// A password or a token; registries do not tell them apart.
    pub password: String,
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_credentials_is_printed() {
        let credentials = RegistryCredentials {
            username: "canary-name".to_owned(),
            password: "canary-word".to_owned(),
        };
        assert!(!format!("{credentials:#?}").contains("canary"));
    }
}
