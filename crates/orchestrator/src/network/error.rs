//! What can go wrong with the host's network, and what a person is told about it.

use std::net::Ipv4Addr;

use model::{Reason, ReasonCode, Subnet};

use crate::hands::{HandsError, Route};

/// Why the network is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A request failed.
    #[error("cannot {operation}")]
    Hands {
        /// What for, beginning with a verb.
        operation: &'static str,
        /// Why not.
        #[source]
        source: HandsError,
    },
    /// The host reaches others where VMs were to get addresses.
    #[error("the subnet {subnet} overlaps the host's route to {route}; {}", hint(*.proposal))]
    Overlap {
        /// What was asked for.
        subnet: Subnet,
        /// What is in its way.
        route: Route,
        /// One that is free.
        proposal: Option<Subnet>,
    },
    /// An address that no VM can have.
    #[error("{address} is no address of a VM in {subnet}")]
    Address {
        /// The address.
        address: Ipv4Addr,
        /// Where it should be from.
        subnet: Subnet,
    },
}

fn hint(proposal: Option<Subnet>) -> String {
    match proposal {
        Some(subnet) => format!("give --subnet {subnet}"),
        None => "give a free one with --subnet".to_owned(),
    }
}

/// The warning about a chain that drops forwarded packets and that nobody but its owner can change.
pub(super) fn foreign_drop(chain: &str, bridge: &str) -> String {
    format!(
        "the firewall chain {chain} drops forwarded packets, so VMs may not reach the outside: accept those of {bridge} there"
    )
}

impl NetworkError {
    pub(super) fn at(operation: &'static str) -> impl Fn(HandsError) -> Self + Copy {
        move |source| Self::Hands { operation, source }
    }

    /// What the VM's owner is told.
    pub fn reason(&self) -> Reason {
        let message = self.with_causes();
        match self {
            Self::Hands { .. } => Reason::passing(
                ReasonCode::HostFailed,
                message,
                "`pitwall doctor` on the host says what is missing",
            ),
            Self::Overlap { proposal, .. } => {
                Reason::lasting(ReasonCode::HostNotReady, message, hint(*proposal))
            }
            Self::Address { .. } => Reason::lasting(
                ReasonCode::NoAddress,
                message,
                "delete the VM and create it again",
            ),
        }
    }

    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
