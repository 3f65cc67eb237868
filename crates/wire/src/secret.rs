//! What a host asks of control: a secret that the plan of one of its VMs names.
//!
//! A plan is kept on the host, travels by the bus and is printed when something is wrong with it; so it names a secret and
//! carries none. The host asks as itself, over `link`, when it needs it, and forgets it after that.

use model::{SecretRef, VmId};

/// Which secret is asked for, and for which VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretRequest {
    /// A VM of the host that asks.
    pub vm: VmId,
    /// The secret that its plan names.
    pub secret: SecretRef,
}

/// Why a host does not get a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefusal {
    /// The VM is not placed on this host, or nothing asks it to use this version of this secret.
    #[error("this VM has no such secret on this host")]
    Unknown,
    /// Control cannot look it up now.
    #[error("control cannot look it up now")]
    Unavailable,
}
