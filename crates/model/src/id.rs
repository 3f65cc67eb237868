//! Ids: 128 random bits behind a prefix that names their kind, such as `vm_3q0m…`.
//!
//! The text form is the prefix, `_`, and 26 characters of lower-case base32 (the "extended hex" alphabet of
//! RFC 4648 section 7, unpadded), so an id is safe in file names, DNS labels apart from the underscore, and
//! URLs. An underscore never occurs in a name, so an id is never a valid name.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_DNSSEC;

/// Text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} id; those look like {prefix}_ and 26 characters of 0-9 a-v")]
pub struct IdError {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What the text form starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from 16 random bytes that the caller drew.
            pub const fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, BASE32_DNSSEC.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, Self::PREFIX).map(Self).ok_or_else(|| IdError {
                    text: text.to_owned(),
                    kind: $kind,
                    prefix: Self::PREFIX,
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A virtual machine, for as long as its name, disk and address are one.
    VmId = "vm", "VM";
    /// A host: one orchestrator and what it can run.
    HostId = "host", "host";
    /// An installation: one control plane and its database. A host obeys one.
    InstallationId = "inst", "installation";
    /// A person who may come in.
    UserId = "user", "user";
    /// Several users who own things together.
    TeamId = "team", "team";
    /// An API token's public half, safe to list and log.
    TokenId = "tok", "token";
    /// A secret that plans name and never carry.
    SecretId = "sec", "secret";
    /// A program that was asked for and waits for somebody to attach.
    ExecId = "exec", "exec";
}

fn parse(text: &str, prefix: &str) -> Option<[u8; 16]> {
    let encoded = text.strip_prefix(prefix)?.strip_prefix('_')?;
    if encoded.len() != 26 || encoded.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    BASE32_DNSSEC.decode(encoded.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_names_its_kind() {
        let id = VmId::from_random([7; 16]);
        let text = id.to_string();
        assert!(text.starts_with("vm_"), "{text}");
        assert_eq!(text.len(), 29);
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<HostId>().is_err());
    }

    #[test]
    fn near_misses_are_refused() {
        for text in [
            "",
            "vm",
            "vm_",
            "vm_abc",
            "vm_0000000000000000000000000!",
            "VM_00000000000000000000000000",
        ] {
            assert!(text.parse::<VmId>().is_err(), "{text}");
        }
        assert!("vm_0000000000000000000000000V".parse::<VmId>().is_err());
    }
}
