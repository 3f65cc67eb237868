//! Exit codes of `pwctl`, so that a script can tell outcomes apart without reading text.

use model::ReasonCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// A failure that has no code of its own.
    Error = 1,
    /// The command or a value in it is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// No token, or one that is not accepted.
    SignIn = 4,
    /// It does not fit what is there.
    Conflict = 5,
    /// No room for it.
    Capacity = 6,
    /// It took longer than it may.
    Timeout = 7,
    /// The server, or something it needs, is away.
    Unavailable = 8,
}

impl ExitCode {
    /// The exit status.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// How a command ends that waited for a VM which ended in `ERROR` for this reason.
    pub const fn of_reason(code: ReasonCode) -> Self {
        match code {
            ReasonCode::DiskFull | ReasonCode::NoAddress => Self::Capacity,
            ReasonCode::BootTimeout => Self::Timeout,
            ReasonCode::OwnerDisabled => Self::SignIn,
            ReasonCode::RegistryUnreachable => Self::Unavailable,
            ReasonCode::ImageNotFound
            | ReasonCode::ImageForbidden
            | ReasonCode::RegistryFailed
            | ReasonCode::DigestMismatch
            | ReasonCode::LayerTruncated
            | ReasonCode::ImageInvalid
            | ReasonCode::WrongArchitecture
            | ReasonCode::FeatureMissing
            | ReasonCode::HostNotReady
            | ReasonCode::HostFailed
            | ReasonCode::VmmFailed
            | ReasonCode::VmmDied
            | ReasonCode::GuestFailed
            | ReasonCode::GuestOutdated
            | ReasonCode::StateDamaged
            | ReasonCode::PlacementRemoved
            | ReasonCode::Unrecognised => Self::Error,
        }
    }
}
