//! Looking after the network: other tools flush firewalls, delete interfaces and rewrite their own chains.

use super::{Network, NetworkError, links, routes, taps};
use crate::hands::{Reply, Request};

impl Network {
    /// Puts back what someone else took away: the bridge, the tables, the way past other tools. To be called every
    /// few seconds; a failure is logged and tried again the next time.
    pub async fn tend(&self) {
        if let Err(error) = self.mend().await {
            tracing::warn!(error = %error.with_causes(), "the host network could not be looked after");
        }
    }

    async fn mend(&self) -> Result<(), NetworkError> {
        let mut rules = self.rules.lock().await;
        let links = links(&*self.hands).await?;
        if !links.iter().any(|link| link.name == self.config.bridge) {
            tracing::warn!(bridge = %self.config.bridge, "the bridge was gone; it is made again");
            self.ensure_bridge().await?;
        }
        for stray in links.iter().filter(|link| link.bridge.is_none()) {
            if let Some(sender) = taps::sender(&self.config, stray) {
                self.join(&sender).await?;
            }
        }
        if self.config.outbound.is_none() {
            let found = self
                .hands
                .perform(Request::ListRoutes)
                .await
                .and_then(Reply::routes);
            let outbound = routes::outbound(&found.map_err(NetworkError::at("look at routes"))?);
            if outbound.is_some() && outbound != rules.outbound {
                tracing::info!(outbound, "the default route leads through another interface now");
                rules.outbound = outbound;
                rules.listing = None;
            }
        }
        let known = rules.listing.take();
        if known.is_none() || known.as_deref() != Some(self.read_tables().await?.as_str()) {
            if known.is_some() {
                tracing::warn!(table = %self.config.table, "somebody changed our firewall tables; they are made again");
            }
            self.apply(&mut rules).await?;
        } else {
            rules.listing = known;
        }
        self.perform("switch forwarding on", Request::SetForwarding(true))
            .await?;
        self.admit().await
    }

    pub(super) async fn admit(&self) -> Result<(), NetworkError> {
        let admit = Request::AdmitBridge {
            bridge: self.config.bridge.clone(),
        };
        let added = self.hands.perform(admit).await.and_then(Reply::flag);
        if added.map_err(NetworkError::at("pass another tool's firewall"))? {
            tracing::info!(bridge = %self.config.bridge, "another tool drops forwarded packets; a marked pair of rules admits ours");
        }
        Ok(())
    }
}
