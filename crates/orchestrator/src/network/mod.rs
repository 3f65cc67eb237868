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

mod config;
mod error;
mod resolvers;
mod routes;
mod ruleset;
mod taps;

use std::net::Ipv4Addr;
use std::sync::Arc;

use model::{MacAddr, Subnet};
use tokio::sync::Mutex;

use crate::hands::{Family, Hands, Link, LinkKind, Reply, Request, Table};

pub use config::NetworkConfig;
pub use error::NetworkError;
pub use resolvers::find as resolvers;
pub use ruleset::{Ruleset, Sender};

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

    /// Makes the TAP of the VM with this address, with its rules, and gives its name.
    ///
    /// # Errors
    /// When the address is none of the subnet's, or a request fails; then neither TAP nor rule is left of a TAP
    /// that was not there before.
    pub async fn attach(&self, address: Ipv4Addr, mac: MacAddr) -> Result<String, NetworkError> {
        if !self.config.subnet.is_vm_address(address) {
            return Err(NetworkError::Address {
                address,
                subnet: self.config.subnet,
            });
        }
        let sender = Sender {
            tap: taps::name(self.config.subnet, address),
            mac,
            address,
        };
        let mut rules = self.rules.lock().await;
        let links = links(&*self.hands).await?;
        let existing = links.iter().find(|link| link.name == sender.tap);
        let other_mac = existing
            .and_then(|link| taps::sender(&self.config, link))
            .filter(|attached| attached.mac != mac);
        if let Some(old) = &other_mac {
            self.release(&mut rules, old).await?;
        }
        let done = self.make_tap(&mut rules, &sender).await;
        if done.is_err()
            && (existing.is_none() || other_mac.is_some())
            && let Err(error) = self.release(&mut rules, &sender).await
        {
            tracing::warn!(tap = %sender.tap, %error, "a TAP that could not be made could not be removed either");
        }
        done.map(|()| sender.tap)
    }

    async fn make_tap(&self, rules: &mut Rules, sender: &Sender) -> Result<(), NetworkError> {
        rules.listing = None;
        let admit = Request::ApplyRuleset {
            text: ruleset::admit(&self.config.table, sender),
        };
        if self.perform("add the rules of a TAP", admit).await.is_err() {
            // The tables themselves are gone; TAPs that are up meanwhile are held by the bridge's isolation only.
            self.apply_with(rules, Some(sender)).await?;
        }
        let name = sender.tap.clone();
        let ensure = Request::EnsureTap {
            name,
            bridge: self.config.bridge.clone(),
            alias: taps::alias(sender),
        };
        self.perform("make a TAP", ensure).await
    }

    /// Removes the TAP of the VM with this address, and its rules.
    ///
    /// # Errors
    /// When a request fails; saying it again goes on from there.
    pub async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let tap = taps::name(self.config.subnet, address);
        let mut rules = self.rules.lock().await;
        let links = links(&*self.hands).await?;
        let attached = links
            .iter()
            .filter(|link| link.name == tap)
            .find_map(|link| taps::sender(&self.config, link));
        let sender = attached.unwrap_or(Sender {
            tap,
            mac: MacAddr::for_vm(address),
            address,
        });
        self.release(&mut rules, &sender).await
    }

    /// The TAP first: rules without a TAP let nobody through, a TAP without rules would.
    async fn release(&self, rules: &mut Rules, sender: &Sender) -> Result<(), NetworkError> {
        rules.listing = None;
        self.perform(
            "remove a TAP",
            Request::RemoveLink {
                name: sender.tap.clone(),
            },
        )
        .await?;
        let expel = Request::ApplyRuleset {
            text: ruleset::expel(&self.config.table, sender),
        };
        if self.perform("remove the rules of a TAP", expel).await.is_err() {
            self.apply(rules).await?;
        }
        Ok(())
    }

    /// The addresses that have a TAP, by what the host says.
    pub async fn attached(&self) -> Vec<Ipv4Addr> {
        match links(&*self.hands).await {
            Ok(links) => taps::senders(&self.config, &links)
                .iter()
                .map(|sender| sender.address)
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "cannot tell which VMs are attached");
                Vec::new()
            }
        }
    }

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
                let (name, bridge) = (sender.tap.clone(), self.config.bridge.clone());
                let rejoin = Request::EnsureTap {
                    name,
                    bridge,
                    alias: taps::alias(&sender),
                };
                self.perform("put a TAP back on the bridge", rejoin).await?;
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

    async fn admit(&self) -> Result<(), NetworkError> {
        let admit = Request::AdmitBridge {
            bridge: self.config.bridge.clone(),
        };
        let added = self.hands.perform(admit).await.and_then(Reply::flag);
        if added.map_err(NetworkError::at("pass another tool's firewall"))? {
            tracing::info!(bridge = %self.config.bridge, "another tool drops forwarded packets; a marked pair of rules admits ours");
        }
        Ok(())
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

    /// Removes everything: TAPs, bridge, tables, the rules in other tools' chains, and forwarding if it was off
    /// before and nobody else has come to need it.
    ///
    /// # Errors
    /// The first failure; what could be removed has been removed all the same.
    pub async fn teardown(config: NetworkConfig, hands: Arc<dyn Hands>) -> Result<(), NetworkError> {
        let mut first = None;
        let mut note = |outcome: Result<(), NetworkError>| {
            if let Err(error) = outcome {
                first.get_or_insert(error);
            }
        };
        let restored = restore_forwarding(&config, &*hands).await;
        // The mark that says how forwarding was is in that table, and is needed the next time.
        let keeps_mark = |table: &Table| table.family == Family::Ip && restored.is_err();
        let names = links(&*hands).await.unwrap_or_else(|error| {
            note(Err(error));
            Vec::new()
        });
        let taps = taps::senders(&config, &names)
            .into_iter()
            .map(|sender| sender.tap);
        let bridge = names
            .iter()
            .any(|link| link.name == config.bridge && link.kind == LinkKind::Bridge);
        let removed = taps
            .chain(bridge.then(|| config.bridge.clone()))
            .map(|name| Request::RemoveLink { name });
        let tables = config
            .tables()
            .into_iter()
            .filter(|table| !keeps_mark(table))
            .map(Request::DeleteTable);
        let expelled = Request::ExpelBridge {
            bridge: config.bridge.clone(),
        };
        for request in removed.chain(tables).chain([expelled]) {
            note(
                hands
                    .perform(request)
                    .await
                    .map(drop)
                    .map_err(NetworkError::at("remove a part of the network")),
            );
        }
        note(restored);
        first.map_or(Ok(()), Err)
    }
}

async fn restore_forwarding(config: &NetworkConfig, hands: &dyn Hands) -> Result<(), NetworkError> {
    let at = NetworkError::at("restore forwarding");
    let restore = async {
        let tables = hands
            .perform(Request::ReadTables {
                tables: config.tables(),
            })
            .await?
            .text()?;
        let drops = hands.perform(Request::ReadDrops).await?.drops()?;
        let needed = !drops.mendable.is_empty() || !drops.others.is_empty();
        if ruleset::says_forwarding_was_off(&tables) && !needed {
            hands.perform(Request::SetForwarding(false)).await?;
        }
        Ok(())
    };
    restore.await.map_err(at)
}

async fn links(hands: &dyn Hands) -> Result<Vec<Link>, NetworkError> {
    let links = hands.perform(Request::ListLinks).await.and_then(Reply::links);
    links.map_err(NetworkError::at("list interfaces"))
}
