//! The host's network for its VMs.
//!
//! ```text
//!      VM 172.30.0.3          VM 172.30.0.4
//!          │ pw-0-3               │ pw-0-4         TAPs: isolated ports, each held to its own MAC and address
//!          └──────────┬───────────┘
//!                   pwbr0 172.30.0.1               the bridge: gateway, no IPv6, no way into the host
//!                     │   forward + masquerade
//!                  outbound                        the interface of the default route
//! ```
//!
//! Packets are judged in two tables of our own, rendered by one pure function ([`ruleset`]). Which VM may send what
//! is written on the TAPs themselves, as their alias; so the tables can be made again at any time from what the host
//! holds, and a restart needs no memory.
//!
//! What always holds:
//!
//! * No VM reaches another, nor a service of the host; the host reaches all of them.
//! * A frame that does not carry its VM's MAC and address ends at the TAP. A TAP comes up after its rules.
//! * Every change of rules is one transaction: no packet sees half of it.
//! * `setup`, `attach`, `detach` and `teardown` may be repeated; one that fails has taken back what it began.
//! * Nothing of another tool is changed, but for one marked pair of rules where it drops what is forwarded.

mod attach;
mod config;
mod error;
mod resolvers;
mod routes;
mod ruleset;
mod survey;
mod taps;
mod teardown;
mod tend;

use std::net::Ipv4Addr;
use std::sync::Arc;

use model::Subnet;
use tokio::sync::Mutex;

use crate::hands::{Hands, Link, Reply, Request};

pub use config::NetworkConfig;
pub use error::NetworkError;
pub use resolvers::find as resolvers;
pub use ruleset::{Ruleset, Sender};
pub use survey::Survey;

/// The network, set up.
pub struct Network {
    config: NetworkConfig,
    hands: Arc<dyn Hands>,
    resolvers: Vec<Ipv4Addr>,
    warnings: Vec<String>,
    /// Held by whoever changes rules, so that what is applied is what the TAPs say.
    rules: Mutex<Rules>,
}

/// What the rules are made of besides the configuration and the TAPs.
struct Rules {
    outbound: Option<String>,
    /// Whether forwarding was off before we came.
    forwarding_was_off: bool,
    /// How nft lists what was applied last; unknown after a change.
    listing: Option<String>,
}

impl Network {
    /// Makes the network, or takes over the one that is there.
    ///
    /// # Errors
    /// When the subnet overlaps a route of the host, or a request fails; a network that was not there before is
    /// not there afterwards.
    pub async fn setup(config: NetworkConfig, hands: Arc<dyn Hands>) -> Result<Self, NetworkError> {
        let host_routes = hands
            .perform(Request::ListRoutes)
            .await
            .map_err(NetworkError::at("look at routes"))?;
        let host_routes = host_routes.routes().map_err(NetworkError::at("look at routes"))?;
        routes::check(config.subnet, &host_routes, &config.bridge)?;
        let resolvers = resolvers::find(&config.resolvers);
        let mut warnings = resolvers
            .is_empty()
            .then(resolvers::warning)
            .into_iter()
            .collect::<Vec<_>>();
        let outbound = config.outbound.clone().or_else(|| routes::outbound(&host_routes));
        if outbound.is_none() {
            warnings.push(routes::warning());
        }
        let existed = links(&*hands)
            .await?
            .iter()
            .any(|link| link.name == config.bridge);
        let rules = Mutex::new(Rules {
            outbound,
            forwarding_was_off: false,
            listing: None,
        });
        let mut network = Self {
            config,
            hands,
            resolvers,
            warnings,
            rules,
        };
        if let Err(error) = network.make().await {
            if !existed && let Err(undo) = Self::teardown(network.config, network.hands).await {
                tracing::warn!(error = %undo, "a network that could not be made could not be removed either");
            }
            return Err(error);
        }
        Ok(network)
    }

    async fn make(&mut self) -> Result<(), NetworkError> {
        self.ensure_bridge().await?;
        let tables = self.read_tables().await?;
        let forwards = self
            .hands
            .perform(Request::ReadForwarding)
            .await
            .and_then(Reply::flag);
        let forwards = forwards.map_err(NetworkError::at("look at forwarding"))?;
        let rules = self.rules.get_mut();
        rules.forwarding_was_off = !forwards || ruleset::says_forwarding_was_off(&tables);
        let mut rules = self.rules.lock().await;
        self.apply(&mut rules).await?;
        drop(rules);
        self.perform("switch forwarding on", Request::SetForwarding(true))
            .await?;
        self.admit().await?;
        let drops = self
            .hands
            .perform(Request::ReadDrops)
            .await
            .and_then(Reply::drops);
        let drops = drops.map_err(NetworkError::at("look for other firewalls"))?;
        self.warnings.extend(
            drops
                .others
                .iter()
                .map(|chain| error::foreign_drop(chain, &self.config.bridge)),
        );
        Ok(())
    }

    /// The host's own address in the subnet.
    pub fn gateway(&self) -> Ipv4Addr {
        self.config.subnet.gateway()
    }

    /// The user and group, nobody else's on this host, of what belongs to the VM with this address.
    pub fn owner(&self, address: Ipv4Addr) -> u32 {
        self.config.owner(address)
    }

    /// Where VMs get their addresses from.
    pub fn subnet(&self) -> Subnet {
        self.config.subnet
    }

    /// The name servers that VMs are told of; never a loopback address.
    pub fn resolvers(&self) -> &[Ipv4Addr] {
        &self.resolvers
    }

    /// What works, but not as people expect: sentences with a next step.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    async fn apply(&self, rules: &mut Rules) -> Result<(), NetworkError> {
        self.apply_with(rules, None).await
    }

    /// Renders the tables from the TAPs, and one that is about to be, and applies them.
    async fn apply_with(&self, rules: &mut Rules, coming: Option<&Sender>) -> Result<(), NetworkError> {
        rules.listing = None;
        let mut senders = taps::senders(&self.config, &links(&*self.hands).await?);
        senders.retain(|sender| coming.is_none_or(|coming| coming.tap != sender.tap));
        senders.extend(coming.cloned());
        let ruleset = Ruleset {
            table: self.config.table.clone(),
            bridge: self.config.bridge.clone(),
            subnet: self.config.subnet,
            outbound: rules.outbound.clone(),
            forwarding_was_off: rules.forwarding_was_off,
            senders,
        };
        self.perform(
            "apply the firewall tables",
            Request::ApplyRuleset {
                text: ruleset.to_string(),
            },
        )
        .await?;
        rules.listing = Some(self.read_tables().await?);
        Ok(())
    }

    async fn read_tables(&self) -> Result<String, NetworkError> {
        let read = Request::ReadTables {
            tables: self.config.tables(),
        };
        let text = self.hands.perform(read).await.and_then(Reply::text);
        text.map_err(NetworkError::at("read the firewall tables"))
    }

    async fn ensure_bridge(&self) -> Result<(), NetworkError> {
        let (name, subnet) = (self.config.bridge.clone(), self.config.subnet);
        let bridge = Request::EnsureBridge {
            name,
            gateway: subnet.gateway(),
            bits: subnet.bits(),
        };
        self.perform("make the bridge", bridge).await
    }

    async fn perform(&self, operation: &'static str, request: Request) -> Result<(), NetworkError> {
        self.hands
            .perform(request)
            .await
            .map(drop)
            .map_err(NetworkError::at(operation))
    }
}

async fn links(hands: &dyn Hands) -> Result<Vec<Link>, NetworkError> {
    let links = hands.perform(Request::ListLinks).await.and_then(Reply::links);
    links.map_err(NetworkError::at("list interfaces"))
}
