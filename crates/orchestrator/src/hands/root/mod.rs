//! The hands of a process that has CAP_NET_ADMIN.

mod iptables;
mod links;
mod neighbours;
mod nft;
mod program;
mod setting;
mod tap;

use super::{Hands, HandsError, Reply, Request};

/// Carries requests out on the network namespace of this process.
///
/// Its own netlink socket lives for one request only, so it holds nothing between two of them.
#[derive(Debug, Default, Clone, Copy)]
pub struct RootHands;

#[async_trait::async_trait]
impl Hands for RootHands {
    async fn perform(&self, request: Request) -> Result<Reply, HandsError> {
        match request {
            Request::ListLinks => return Ok(Reply::Links(links::list().await?)),
            Request::ListRoutes => return Ok(Reply::Routes(links::routes().await?)),
            Request::ReadTables { tables } => return Ok(Reply::Text(nft::read(&tables).await?)),
            Request::ReadForwarding => return Ok(Reply::Flag(setting::forwarding()?)),
            Request::ReadDrops => return Ok(Reply::Drops(iptables::drops().await?)),
            Request::ReadAdmitted { bridge } => return Ok(Reply::Flag(iptables::admitted(&bridge).await?)),
            Request::AdmitBridge { bridge } => return Ok(Reply::Flag(iptables::admit(&bridge).await?)),
            Request::EnsureBridge { name, gateway, bits } => {
                links::ensure_bridge(&name, gateway, bits).await?
            }
            Request::EnsureTap {
                name,
                bridge,
                alias,
                owner,
            } => tap::ensure(&name, &bridge, &alias, owner).await?,
            Request::EnsureNeighbour { bridge, address, mac } => {
                neighbours::ensure(&bridge, address, mac).await?
            }
            Request::RemoveNeighbour { bridge, address } => neighbours::remove(&bridge, address).await?,
            Request::RemoveLink { name } => links::remove(&name).await?,
            Request::ApplyRuleset { text } => nft::apply(&text).await?,
            Request::DeleteTable(table) => nft::delete(&table).await?,
            Request::SetForwarding(on) => setting::set_forwarding(on)?,
            Request::ExpelBridge { bridge } => iptables::expel(&bridge).await?,
        }
        Ok(Reply::Done)
    }
}
