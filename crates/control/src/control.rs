//! The handle and what it holds.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use jiff::Timestamp;
use link::Link;
use model::{InstallationId, Limits};
use store::Store;

use crate::audit::Ledger;
use crate::clock::draw;
use crate::feed::Feed;
use crate::heard::Heard;
use crate::intake::Told;
use crate::life::Leases;
use crate::meter::Unmetered;
use crate::news::{Due, News};
use crate::ready::{Readiness, Running};
use crate::token::TokenUses;
use crate::{Clock, Entropy, Error, Meter, Retention};

/// What control is made of.
pub struct ControlConfig {
    /// Its memory.
    pub store: Store,
    /// Its post.
    pub bus: Bus,
    /// Its way to VMs.
    pub link: Link,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// Its randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where its figures are counted.
    pub meter: Arc<dyn Meter>,
    /// How long a host may say nothing before its VMs are shown as `UNKNOWN`. Too small shows a busy host as lost,
    /// too large leaves people waiting before a dead one.
    pub silence_after: Duration,
    /// How often each host's plan is read and sent anew without a nudge.
    pub reconcile_every: Duration,
    /// How long events, audit entries and answers are kept.
    pub retention: Retention,
    /// The quota of every user and team that has none of its own.
    pub quotas: Limits,
}

impl ControlConfig {
    /// The machine's clock and randomness, no quotas, and the usual times: silent after 30 s, plans anew every 30 s.
    pub fn new(store: Store, bus: Bus, link: Link) -> Self {
        Self {
            store,
            bus,
            link,
            clock: Arc::new(crate::SystemClock),
            entropy: Arc::new(crate::SystemEntropy),
            meter: Arc::new(Unmetered),
            silence_after: Duration::from_secs(30),
            reconcile_every: Duration::from_secs(30),
            retention: Retention::default(),
            quotas: Limits::default(),
        }
    }
}

/// The control plane; clones share it.
#[derive(Clone)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) link: Link,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) silence_after: Duration,
    pub(crate) reconcile_every: Duration,
    pub(crate) retention: Retention,
    pub(crate) installation: InstallationId,
    pub(crate) quotas: Limits,
    /// Hosts could not be heard before this; their silence counts from here.
    pub(crate) opened_at: Timestamp,
    pub(crate) due: Due,
    pub(crate) news: News,
    pub(crate) feed: Feed,
    pub(crate) heard: Heard,
    pub(crate) told: Told,
    pub(crate) token_uses: TokenUses,
    pub(crate) leases: Leases,
    pub(crate) ledger: Ledger,
    pub(crate) running: Running,
    pub(crate) readiness: Readiness,
}

impl Control {
    /// Opens the control plane over its memory; the installation's id is drawn the first time. Nothing moves before
    /// [`Control::run`].
    ///
    /// # Errors
    /// The memory cannot be read or written, or there is no randomness.
    pub async fn open(config: ControlConfig) -> Result<Self, Error> {
        let installation = installation_ensure(&config.store, config.entropy.as_ref()).await?;
        let last_event = config.store.read().await?.event_last().await?;
        let control = Self {
            inner: Arc::new(Inner {
                opened_at: config.clock.now(),
                store: config.store,
                bus: config.bus,
                link: config.link,
                clock: config.clock,
                entropy: config.entropy,
                meter: config.meter,
                silence_after: config.silence_after,
                reconcile_every: config.reconcile_every,
                retention: config.retention,
                quotas: config.quotas,
                installation,
                due: Due::default(),
                news: News::new(last_event),
                feed: Feed::new(last_event),
                heard: Heard::default(),
                told: Told::default(),
                token_uses: TokenUses::default(),
                leases: Leases::default(),
                ledger: Ledger::default(),
                running: Running::default(),
                readiness: Readiness::default(),
            }),
        };
        let mut change = control.change().await?;
        control.admin_ensure(&mut change).await?;
        control.commit(change).await?;
        Ok(control)
    }

    /// The installation that this control plane speaks for.
    pub fn installation(&self) -> InstallationId {
        self.inner.installation
    }

    /// Now, as exactly as times are kept, so that what is answered is what is read later.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.inner.clock.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

async fn installation_ensure(store: &Store, entropy: &dyn Entropy) -> Result<InstallationId, Error> {
    let mut write = store.write().await?;
    if let Some(id) = write.installation_fetch().await? {
        return Ok(id);
    }
    let id = InstallationId::from_random(draw(entropy)?);
    write.installation_insert(id).await?;
    write.commit().await?;
    Ok(id)
}
