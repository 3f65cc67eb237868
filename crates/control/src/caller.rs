//! Who asks, and from where.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use model::{PrincipalName, RequestId, Role, Scope, TokenId, UserId};

use crate::Once;

/// Who asks, as shown by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub name: PrincipalName,
    /// What the user is here.
    pub role: Role,
    /// The token it came with; safe to log.
    pub token: TokenId,
    /// What that is good for.
    pub scopes: BTreeSet<Scope>,
    /// From when on the token is good for nothing.
    pub token_expires_at: Option<Timestamp>,
    /// The request.
    pub origin: Origin,
}

impl Caller {
    /// The caller as the audit names it.
    pub fn actor(&self) -> Actor {
        Actor {
            user: self.user,
            name: self.name.clone(),
            token: self.token,
            address: self.origin.address,
            request: self.origin.request.clone(),
        }
    }
}

/// Who did or asked something, as the audit names them. It has no rights: it may be one whose token has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub name: PrincipalName,
    /// The token that was shown; safe to log.
    pub token: TokenId,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// The request's id, as it stands in the log.
    pub request: Option<RequestId>,
}

/// Where a request comes from, and on which terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// The request's id, as it stands in the log.
    pub request: Option<RequestId>,
    /// The generations that a VM may be asked for if it is to be changed; `None` is any.
    pub if_generation: Option<BTreeSet<u64>>,
    /// That it is to be done once, however often it comes.
    pub once: Option<Once>,
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
