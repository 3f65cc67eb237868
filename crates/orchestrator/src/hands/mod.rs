//! All that needs root on the host's network: a closed list of typed requests.
//!
//! ```text
//!   network ──► Request ──► Hands ──► RootHands   netlink · /dev/net/tun · nft · iptables · /proc/sys
//!                             │
//!                             └─────► SimHands    a host in memory
//! ```
//!
//! Nothing else of Pitwall touches netlink, nftables or a sysctl. The list is small, and its requests hold values
//! only, so that it can become a process of its own with the few rights it needs.
//!
//! What always holds: every request may be repeated; the second time changes nothing. A request that fails has
//! undone what it began.

mod error;
mod request;
mod root;
mod sim;

pub use error::HandsError;
pub use request::{Drops, Family, Link, LinkKind, Reply, Request, Route, Table};
pub use root::RootHands;
pub use sim::SimHands;

/// Someone who carries out requests.
#[async_trait::async_trait]
pub trait Hands: Send + Sync {
    /// Carries out one request.
    ///
    /// # Errors
    /// When it was not carried out; nothing of it is left then.
    async fn perform(&self, request: Request) -> Result<Reply, HandsError>;
}
