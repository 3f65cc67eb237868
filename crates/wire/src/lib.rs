//! The messages of the house: plans and reports between control and hosts, frames between a host and its
//! guests.
//!
//! Raw on the left, meaning on the right: bytes are decoded into generated structs close to the `.proto` files,
//! then turned once into the typed values of this crate and of `model`. What cannot be turned is a [`WireError`]
//! that names the field, so a message is taken whole or not at all.
//!
//! Always holds: decoding never panics; a message from one version before or after this one is understood;
//! what a sender left out means "as it was".

pub mod guest;
pub mod host;
pub mod link;
pub mod secret;
pub mod stream;

/// The structs generated from the `.proto` files. Nobody outside this crate sees them.
mod proto {
    #[expect(unreachable_pub, reason = "generated; the .proto file holds the words")]
    pub(crate) mod host {
        include!(concat!(env!("OUT_DIR"), "/pitwall.host.v1.rs"));
    }
}

/// Bytes that are not the message they should be.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not Protocol Buffers of this message.
    #[error("the message cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// A field holds something it cannot hold.
    #[error("the message's field {field} holds {value:?}")]
    Field {
        /// Which field, as a path.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A field that must be there is absent.
    #[error("the message lacks the field {0}")]
    Missing(&'static str),
}
