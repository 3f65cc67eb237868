//! Who asks. Today everybody who may come in is an admin.

use std::fmt;

use model::TokenId;

/// Who asks, as shown by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token it came with; safe to log.
    pub token: TokenId,
}

/// A token's text, shown once where it is made and never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, to be handed to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}
