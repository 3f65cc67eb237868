//! What stands between the network and the handlers: limits, rates, whom to believe, what is counted.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use control::Caller;
use model::{Problem, ProblemCode};

use crate::address::{ClientAddress, Network};
use crate::flows::Flows;
use crate::metrics::Metrics;
use crate::rates::{Meters, Rates};
use crate::refusal::Refusal;

/// The settings of the server's edge. The default has the usual limits, no rates, believes no proxy and counts for
/// nobody.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    /// How many requests who may make.
    pub rates: Rates,
    /// How long and how much connections may take.
    pub limits: Limits,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<Network>,
    /// Where requests are counted, if anywhere.
    pub metrics: Option<Metrics>,
}

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Each costs two file descriptors at most and some 30 KiB; those above are closed unheard.
    pub connections: usize,
    /// Connections of one address at once, an IPv6 address being its /64; those above are closed unheard too. Trusted
    /// proxies have no bound of their own.
    pub connections_per_address: usize,
    /// What one user may hold open at once of what goes on for long: events, followed logs, waits, programs, consoles.
    pub flows_per_user: usize,
    /// How long a client may take to send the head of a request, from when the connection waits for one. A slower one
    /// holds a connection for nothing.
    pub head: Duration,
    /// How long an answer may rest because its client reads nothing. Too short cuts people who look at a page of a
    /// long log; too long holds memory for who has gone.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 256,
            flows_per_user: 128,
            head: Duration::from_secs(20),
            stall: Duration::from_secs(60),
        }
    }
}

/// The edge as requests meet it; clones share it.
#[derive(Clone)]
pub(crate) struct Edge {
    meters: Arc<Meters>,
    pub(crate) metrics: Option<Metrics>,
    /// What users hold open.
    pub(crate) flows: Flows,
}

impl Edge {
    pub(crate) fn new(edges: &Edges) -> Self {
        Self {
            meters: Arc::new(Meters::new(edges.rates)),
            metrics: edges.metrics.clone(),
            flows: Flows::new(edges.limits.flows_per_user),
        }
    }

    /// Counts a request of a caller against their rate.
    ///
    /// # Errors
    /// It is too much.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Refusal> {
        let admitted = self.meters.caller(caller);
        admitted.map_err(|wait| self.too_many("caller", "you send more requests than your rate allows", wait))
    }

    /// Counts a request of nobody against the rate of its address. A request that came by no connection has none.
    ///
    /// # Errors
    /// It is too much.
    pub(crate) fn admit_nobody(&self, client: Option<&ClientAddress>) -> Result<(), Refusal> {
        let address = client.map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0);
        let admitted = self.meters.address(address);
        let detail = "more requests without a known token come from your address than its rate allows";
        admitted.map_err(|wait| self.too_many("address", detail, wait))
    }

    fn too_many(&self, by: &str, detail: &str, wait: Duration) -> Refusal {
        if let Some(metrics) = &self.metrics {
            metrics.request_limited(by);
        }
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let problem = Problem::new(ProblemCode::RateLimited, detail).hint(format!(
            "try again in {seconds} s; the header Retry-After says the same"
        ));
        Refusal::from(problem).retry_after(seconds)
    }
}
