//! Credentials for a registry, as part of a wish. They are written and never shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the registry of a VM's image wants to know. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryAuth {
    /// Who signs in.
    #[schema(
        example = "fred",
        min_length = 1,
        max_length = 256,
        pattern = r"^[^:\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub username: String,
    /// A password or a token of the registry.
    #[schema(
        write_only,
        min_length = 1,
        max_length = 16_384,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub password: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAuth").finish_non_exhaustive()
    }
}
