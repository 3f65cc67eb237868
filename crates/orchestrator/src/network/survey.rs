//! How the network is, seen from outside: for whoever wants to know what is wrong. Nothing is changed.

use super::{NetworkConfig, NetworkError, links, routes};
use crate::hands::{Drops, Hands, HandsError, Reply, Request};

/// How the host's network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Whether the bridge is there.
    pub bridge: bool,
    /// Whether both firewall tables of ours are there.
    pub tables: bool,
    /// Whether the host forwards IPv4 packets.
    pub forwards: bool,
    /// The interface to the outside: that of the settings, else that of the default route.
    pub outbound: Option<String>,
    /// Why the subnet cannot be taken, with one that can.
    pub overlap: Option<String>,
    /// Who else drops forwarded packets.
    pub drops: Drops,
    /// Whether those of them that can be asked let the bridge's packets pass.
    pub admitted: bool,
}

impl Survey {
    /// Looks at everything.
    ///
    /// # Errors
    /// Something cannot be looked at; only root may read a firewall.
    pub async fn take(config: &NetworkConfig, hands: &dyn Hands) -> Result<Self, NetworkError> {
        let at = NetworkError::at("look at the host's network");
        let host_routes = ask(hands, Request::ListRoutes, Reply::routes).await.map_err(at)?;
        let tables = Request::ReadTables {
            tables: config.tables(),
        };
        let tables = ask(hands, tables, Reply::text).await.map_err(at)?;
        let admitted = Request::ReadAdmitted {
            bridge: config.bridge.clone(),
        };
        let overlap = routes::check(config.subnet, &host_routes, &config.bridge);
        Ok(Self {
            bridge: links(hands).await?.iter().any(|link| link.name == config.bridge),
            tables: config
                .tables()
                .iter()
                .all(|table| tables.contains(&format!("table {table} {{"))),
            forwards: ask(hands, Request::ReadForwarding, Reply::flag)
                .await
                .map_err(at)?,
            outbound: config.outbound.clone().or_else(|| routes::outbound(&host_routes)),
            overlap: overlap.err().map(|error| error.to_string()),
            drops: ask(hands, Request::ReadDrops, Reply::drops).await.map_err(at)?,
            admitted: ask(hands, admitted, Reply::flag).await.map_err(at)?,
        })
    }
}

async fn ask<T>(
    hands: &dyn Hands,
    request: Request,
    read: impl FnOnce(Reply) -> Result<T, HandsError>,
) -> Result<T, HandsError> {
    hands.perform(request).await.and_then(read)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hands::SimHands;
    use crate::network::Network;

    #[tokio::test]
    async fn what_is_taken_away_is_seen() {
        let hands = Arc::new(SimHands::default());
        let config = NetworkConfig::default();
        let before = Survey::take(&config, &*hands).await.unwrap();
        assert!(!before.bridge && !before.tables && !before.forwards && before.admitted);

        Network::setup(config.clone(), hands.clone()).await.unwrap();
        let whole = Survey::take(&config, &*hands).await.unwrap();
        assert!(whole.bridge && whole.tables && whole.forwards && whole.overlap.is_none());

        hands.perform(Request::SetForwarding(false)).await.unwrap();
        hands.drop_forwarded(Drops {
            mendable: vec!["DOCKER-USER of iptables-nft".to_owned()],
            others: Vec::new(),
        });
        let spoilt = Survey::take(&config, &*hands).await.unwrap();
        assert!(!spoilt.forwards && !spoilt.admitted);
        assert_eq!(spoilt.drops.mendable, ["DOCKER-USER of iptables-nft"]);
    }
}
