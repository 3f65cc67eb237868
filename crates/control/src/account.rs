//! Whose account is meant. To anybody but its user and admins, an account does not exist.

use std::fmt;
use std::str::FromStr;

use model::{PrincipalName, Problem, ProblemCode, UserId};
use store::{Principal, Read, User};

use crate::{Caller, Error, Operation};

/// Which user is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSelector {
    /// Whoever asks: `me`, which nobody is called.
    Me,
    /// By id.
    Id(UserId),
    /// By name.
    Name(PrincipalName),
}

impl fmt::Display for UserSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Me => f.write_str("me"),
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for UserSelector {
    type Err = Problem;

    /// An id is never a valid name, so the text decides.
    fn from_str(text: &str) -> Result<Self, Problem> {
        if text == "me" {
            return Ok(Self::Me);
        }
        let by_id = text.parse().map(Self::Id).ok();
        by_id.map_or_else(|| text.parse().map(Self::Name).map_err(|_| no_user(text)), Ok)
    }
}

impl From<UserId> for UserSelector {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

/// The user that is meant, if the caller may do this to that account.
///
/// # Errors
/// There is none that the caller may know of.
pub(crate) async fn account_find(
    read: &mut Read,
    caller: &Caller,
    selector: &UserSelector,
    operation: Operation,
) -> Result<User, Error> {
    caller.may_ask_for(operation)?;
    let found = match selector {
        UserSelector::Me => read.principal_fetch(caller.user.into()).await?,
        UserSelector::Id(id) => read.principal_fetch((*id).into()).await?,
        UserSelector::Name(name) => read.principal_fetch_by_name(name).await?,
    };
    let user = found.and_then(Principal::into_user);
    let visible = user.filter(|user| caller.is_admin() || user.id == caller.user);
    let user = visible.ok_or_else(|| no_user(&selector.to_string()))?;
    if let Some(once) = &caller.origin.once {
        once.touches(user.id);
    }
    Ok(user)
}

fn no_user(text: &str) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("there is no user {text:?}"))
        .hint("pwctl user ls shows whom you may see; me is yourself")
}
