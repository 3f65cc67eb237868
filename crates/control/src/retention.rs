//! Forgetting what was kept long enough: events and audit entries. A few rows at once, so that nobody waits for it.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Control, Error};

/// How often it is looked for; a tenth of the shortest time that anything is kept, and this at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Rows that go in one transaction: some milliseconds of the one writer.
const AT_ONCE: u32 = 500;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// And no more of them than so many.
    pub event_rows: u64,
    /// Audit entries.
    pub audit: Duration,
}

impl Default for Retention {
    /// Events for 7 days and no more than 100,000, the audit for 90 days.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            events: 7 * DAY,
            event_rows: 100_000,
            audit: 90 * DAY,
        }
    }
}

impl Control {
    pub(crate) async fn watch_retention(&self) {
        let kept = self.inner.retention;
        let shortest = kept.events.min(kept.audit);
        let every = (shortest / 10).clamp(Duration::from_secs(1), LOOK_EVERY);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.retention_look().await {
                tracing::error!(error = ?error, "old events and audit entries could not be forgotten");
            }
        }
    }

    /// Forgets all that was kept long enough.
    pub(crate) async fn retention_look(&self) -> Result<(), Error> {
        let kept = self.inner.retention;
        let before = |kept: Duration| {
            let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
            self.now().saturating_sub(kept)
        };
        let events_before = before(kept.events).map_err(Error::internal)?;
        let audit_before = before(kept.audit).map_err(Error::internal)?;
        loop {
            let mut write = self.inner.store.write().await?;
            let events = write.event_prune(events_before, kept.event_rows, AT_ONCE).await?;
            let entries = write.audit_prune(audit_before, AT_ONCE).await?;
            if events + entries == 0 {
                return Ok(());
            }
            write.commit().await?;
            tracing::debug!(events, entries, "old events and audit entries forgotten");
        }
    }
}
