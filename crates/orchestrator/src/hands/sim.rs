//! A host's network in memory, for tests without root.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Mutex;

use model::MacAddr;

use super::{Drops, Family, Hands, HandsError, Link, LinkKind, Reply, Request, Route, Table};

/// The simulator: it remembers what was made, and can be told to fail.
#[derive(Default)]
pub struct SimHands(Mutex<Host>);

#[derive(Default)]
struct Host {
    links: BTreeMap<String, Link>,
    routes: Vec<Route>,
    tables: BTreeMap<String, String>,
    senders: BTreeSet<String>,
    neighbours: BTreeMap<Ipv4Addr, MacAddr>,
    forwarding: bool,
    drops: Drops,
    admitted: Option<String>,
    performed: usize,
    fail_at: Option<usize>,
    hang_at: Option<usize>,
    rulesets: Vec<String>,
}

impl SimHands {
    /// A host with these routes.
    pub fn new(routes: Vec<Route>) -> Self {
        Self(Mutex::new(Host {
            routes,
            ..Host::default()
        }))
    }

    /// From now on, the request with this number (0 is the next) fails, once.
    pub fn fail_at(&self, request: usize) {
        self.with(|host| host.fail_at = Some(host.performed + request));
    }

    /// From now on, the request with this number (0 is the next) never ends, once. For who is killed meanwhile.
    pub fn hang_at(&self, request: usize) {
        self.with(|host| host.hang_at = Some(host.performed + request));
    }

    /// How many requests were made so far.
    pub fn performed(&self) -> usize {
        self.with(|host| host.performed)
    }

    /// Another tool begins to drop forwarded packets.
    pub fn drop_forwarded(&self, drops: Drops) {
        self.with(|host| host.drops = drops);
    }

    /// Another tool throws everything of nftables away, and what was added to its own chains.
    pub fn flush(&self) {
        self.with(|host| {
            host.tables.clear();
            host.senders.clear();
            host.admitted = None;
        });
    }

    /// Every ruleset that was applied, in order.
    pub fn rulesets(&self) -> Vec<String> {
        self.with(|host| host.rulesets.clone())
    }

    /// What is there besides what was there at first; forwarding counts.
    pub fn leftovers(&self) -> Vec<String> {
        self.with(|host| {
            let links = host.links.keys().map(|name| format!("interface {name}"));
            let tables = host.tables.keys().map(|name| format!("table {name}"));
            let admitted = host
                .admitted
                .iter()
                .map(|bridge| format!("rules that admit {bridge}"));
            let senders = host.senders.iter().map(|sender| format!("sender {sender}"));
            let neighbours = host
                .neighbours
                .keys()
                .map(|address| format!("neighbour {address}"));
            let forwarding = host.forwarding.then(|| "forwarding".to_owned());
            links
                .chain(tables)
                .chain(senders)
                .chain(neighbours)
                .chain(admitted)
                .chain(forwarding)
                .collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Host) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Hands for SimHands {
    async fn perform(&self, request: Request) -> Result<Reply, HandsError> {
        let hangs = self.with(|host| host.hang_at.take_if(|number| *number == host.performed).is_some());
        if hangs {
            self.with(|host| host.performed += 1);
            std::future::pending::<()>().await;
        }
        self.with(|host| {
            let number = host.performed;
            host.performed += 1;
            if host.fail_at == Some(number) {
                host.fail_at = None;
                return Err(HandsError::Simulated(number));
            }
            host.perform(request)
        })
    }
}

impl Host {
    fn perform(&mut self, request: Request) -> Result<Reply, HandsError> {
        match request {
            Request::ListLinks => return Ok(Reply::Links(self.links.values().cloned().collect())),
            Request::ListRoutes => return Ok(Reply::Routes(self.routes.clone())),
            Request::ReadTables { tables } => return Ok(Reply::Text(self.listing(&tables))),
            Request::ReadForwarding => return Ok(Reply::Flag(self.forwarding)),
            Request::ReadDrops => return Ok(Reply::Drops(self.drops.clone())),
            Request::ReadAdmitted { .. } => {
                return Ok(Reply::Flag(
                    self.drops.mendable.is_empty() || self.admitted.is_some(),
                ));
            }
            Request::AdmitBridge { bridge } => {
                let missing = !self.drops.mendable.is_empty() && self.admitted.is_none();
                if missing {
                    self.admitted = Some(bridge);
                }
                return Ok(Reply::Flag(missing));
            }
            Request::EnsureBridge { name, .. } => self.add(name, LinkKind::Bridge, None, None),
            Request::EnsureTap {
                name, bridge, alias, ..
            } => {
                if !self.links.contains_key(&bridge) {
                    return Err(HandsError::NoLink(bridge));
                }
                self.add(name, LinkKind::Tun, Some(bridge), Some(alias));
            }
            Request::EnsureNeighbour { bridge, address, mac } => {
                if !self.links.contains_key(&bridge) {
                    return Err(HandsError::NoLink(bridge));
                }
                self.neighbours.insert(address, mac);
            }
            Request::RemoveNeighbour { address, .. } => drop(self.neighbours.remove(&address)),
            Request::RemoveLink { name } => self.remove(&name),
            Request::ApplyRuleset { text } => self.apply(text),
            Request::DeleteTable(table) => {
                self.tables.remove(&table.to_string());
                if table.family == Family::Bridge {
                    self.senders.clear();
                }
            }
            Request::SetForwarding(on) => self.forwarding = on,
            Request::ExpelBridge { .. } => self.admitted = None,
        }
        Ok(Reply::Done)
    }

    /// A bridge takes what is known of the addresses behind it along.
    fn remove(&mut self, name: &str) {
        if self
            .links
            .remove(name)
            .is_some_and(|link| link.kind == LinkKind::Bridge)
        {
            self.neighbours.clear();
        }
    }

    fn add(&mut self, name: String, kind: LinkKind, bridge: Option<String>, alias: Option<String>) {
        self.links.insert(
            name.clone(),
            Link {
                name,
                kind,
                bridge,
                alias,
            },
        );
    }

    fn listing(&self, tables: &[Table]) -> String {
        tables
            .iter()
            .filter_map(|table| self.tables.get(&table.to_string()))
            .cloned()
            .collect()
    }

    /// Knows whole tables and the elements of one set, which is what matters of all that is ever applied.
    fn apply(&mut self, text: String) {
        for line in text.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix("table ")
                .and_then(|rest| rest.strip_suffix(" {"))
            {
                self.tables.insert(name.to_owned(), text.clone());
                self.senders.clear();
            } else if let Some(element) = line.strip_prefix("delete element").and_then(sender_in) {
                self.senders.remove(element);
            } else if let Some(element) = line.strip_prefix("add element").and_then(sender_in) {
                self.senders.insert(element.to_owned());
            } else if line.starts_with('"') && line.contains(" . ") {
                self.senders.insert(line.trim_end_matches(',').to_owned());
            }
        }
        self.rulesets.push(text);
    }
}

/// What stands between the braces of a line about the set `senders`.
fn sender_in(line: &str) -> Option<&str> {
    let (set, element) = line.strip_suffix(" }")?.split_once(" { ")?;
    set.ends_with(" senders").then_some(element)
}
