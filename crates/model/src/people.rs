//! People and what they may: users and teams, the rights on a VM, the scopes of a token.
//!
//! ```text
//!   principal = user | team          one name space
//!   owner     = principal            each VM has one
//!   share     = principal × right    on a VM
//!   token     = user × scopes
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::{IdError, TeamId, UserId};

/// A user or a team: what can own a VM, or have one shared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalId {
    /// A person.
    User(UserId),
    /// Several.
    Team(TeamId),
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Team(id) => id.fmt(f),
        }
    }
}

impl FromStr for PrincipalId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse()
            .map(Self::Team)
            .or_else(|_| text.parse().map(Self::User))
    }
}

impl serde::Serialize for PrincipalId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PrincipalId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl From<UserId> for PrincipalId {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<TeamId> for PrincipalId {
    fn from(id: TeamId) -> Self {
        Self::Team(id)
    }
}

/// A word that is none of those that are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: write {words}")]
pub struct WordError {
    text: String,
    what: &'static str,
    words: String,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$word_doc:meta])* $word:ident = $text:literal;)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)*
        }

        impl $name {
            /// Every one of them, the least first.
            pub const ALL: &'static [Self] = &[$(Self::$word),*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let found = Self::ALL.iter().copied().find(|word| word.as_str() == text);
                found.ok_or_else(|| WordError {
                    text: text.to_owned(),
                    what: $what,
                    words: [$($text),*].join(", "),
                })
            }
        }
    )*};
}

words! {
    /// What a user is in the installation.
    Role, "role" {
        /// Sees and touches what is theirs or shared with them.
        Member = "member";
        /// Sees all, and may do all.
        Admin = "admin";
    }

    /// What a user is in a team.
    TeamRole, "role in a team" {
        /// May manage the team's VMs.
        Member = "member";
        /// May also delete, share and transfer them, and say who is in the team.
        Owner = "owner";
    }

    /// What somebody may do with a VM; each includes those before it.
    Right, "right" {
        /// See it, sign in, run programs, look at log, console and events, copy files.
        Use = "use";
        /// Also start, stop, restart, rebuild, resize, change and extend it.
        Manage = "manage";
        /// Also delete, share and transfer it. It is had, never given: by the owner, a team's owners and admins.
        Own = "own";
    }

    /// What a token is good for; each operation needs one.
    Scope, "scope" {
        /// Looking at VMs.
        VmRead = "vm:read";
        /// Getting into VMs.
        VmUse = "vm:use";
        /// Making, changing and removing VMs.
        VmWrite = "vm:write";
        /// Looking at one's account, teams, quotas and audit.
        AccountRead = "account:read";
        /// Changing one's account and teams.
        AccountWrite = "account:write";
        /// What only admins may do.
        Admin = "admin";
    }
}

impl Scope {
    /// Every scope that a role may use.
    pub fn of_role(role: Role) -> BTreeSet<Self> {
        let mut scopes: BTreeSet<Self> = Self::ALL.iter().copied().collect();
        if role == Role::Member {
            scopes.remove(&Self::Admin);
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_known_by_its_prefix() {
        let user = PrincipalId::User(UserId::from_random([1; 16]));
        let team = PrincipalId::Team(TeamId::from_random([1; 16]));
        for id in [user, team] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!("vm_00000000000000000000000000".parse::<PrincipalId>().is_err());
    }

    #[test]
    fn words_round_trip_and_others_are_refused_with_the_list() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
        let refused = "boss".parse::<Role>().unwrap_err().to_string();
        assert_eq!(refused, "\"boss\" is no role: write member, admin");
        assert!(Right::Use < Right::Manage && Right::Manage < Right::Own);
    }

    #[test]
    fn a_member_has_every_scope_but_the_admins() {
        let member = Scope::of_role(Role::Member);
        assert!(!member.contains(&Scope::Admin));
        assert_eq!(member.len() + 1, Scope::of_role(Role::Admin).len());
    }
}
