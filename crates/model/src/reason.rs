//! Why a VM is not as it was asked to be: a stable code, a sentence, the next step, and whether time may mend it.

use std::fmt;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A closed list of causes, each with a stable text form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ReasonCode {
            $($(#[$doc])* $name,)*
        }

        impl ReasonCode {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The code of a text form. A text this version does not know is one from a newer host.
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Unrecognised,
                }
            }
        }
    };
}

reason_codes! {
    /// The registry or layout has no such image or tag.
    ImageNotFound = "image_not_found";
    /// The registry wants credentials, or refuses those given.
    ImageForbidden = "image_forbidden";
    /// The registry does not answer.
    RegistryUnreachable = "registry_unreachable";
    /// The registry answered with something a registry should not.
    RegistryFailed = "registry_failed";
    /// Bytes do not match the digest that names them.
    DigestMismatch = "digest_mismatch";
    /// A layer ends before its end.
    LayerTruncated = "layer_truncated";
    /// The image breaks the specification or is hostile.
    ImageInvalid = "image_invalid";
    /// The image is for other processors.
    WrongArchitecture = "wrong_architecture";
    /// No space left on the host.
    DiskFull = "disk_full";
    /// The subnet has no free address.
    NoAddress = "no_address";
    /// The host lacks a feature that the VM needs.
    FeatureMissing = "feature_missing";
    /// The host lacks a program, kernel or device.
    HostNotReady = "host_not_ready";
    /// A step on the host failed.
    HostFailed = "host_failed";
    /// The VMM could not be started.
    VmmFailed = "vmm_failed";
    /// The VMM ended although the guest did not power off.
    VmmDied = "vmm_died";
    /// The guest did not accept SSH before the deadline.
    BootTimeout = "boot_timeout";
    /// The guest's init reported a failure.
    GuestFailed = "guest_failed";
    /// The running guest has an older init, which cannot do what is asked; the VM runs all the same.
    GuestOutdated = "guest_outdated";
    /// The VM's folder on the host cannot be read.
    StateDamaged = "state_damaged";
    /// This placement of the VM was removed on the host and is never made again.
    PlacementRemoved = "placement_removed";
    /// Its owner was disabled, so it is kept off.
    OwnerDisabled = "owner_disabled";
    /// A code from a newer version; its sentence still tells.
    Unrecognised = "unrecognised";
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ReasonCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Self::parse(&text))
    }
}

/// Whether a failure mends itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The host tries again, with back-off.
    Later,
    /// Nothing happens until something else is asked, such as a start.
    OnNewWish,
}

/// Why a VM is not as it was asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// What programs look at.
    pub code: ReasonCode,
    /// What happened, for people.
    pub message: String,
    /// The next step.
    pub hint: String,
    /// Whether time may mend it.
    pub retry: Retry,
}

impl Reason {
    /// A failure that only a new wish mends.
    pub fn lasting(code: ReasonCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            retry: Retry::OnNewWish,
        }
    }

    /// A failure that time may mend.
    pub fn passing(code: ReasonCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            retry: Retry::Later,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own() {
        for &code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.as_str()), code);
        }
        assert_eq!(ReasonCode::parse("from_the_future"), ReasonCode::Unrecognised);
    }
}
