//! Forgetting what was kept long enough: events, audit entries and the answers to requests with an `Idempotency-Key`.
//!
//! What is due is looked for outside of any change, and goes a few rows at once, so that nobody waits for it.

use std::time::Duration;

use jiff::SignedDuration;
use model::UserId;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Control, Error, chain};

/// How often it is looked for; a tenth of the shortest time that anything is kept, and this at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Rows that go in one transaction: some milliseconds of the one writer.
const AT_ONCE: u32 = 500;

/// Answers that are kept of one user, and their bytes; beyond it the oldest go early. Smaller does the late retry of a busy
/// program twice, larger lets one user fill the disk.
const ANSWERS_OF_USER: u64 = 50_000;
const ANSWER_BYTES_OF_USER: u64 = 256 << 20;

/// What goes in one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    /// Events up to this number.
    events: Option<u64>,
    /// Audit entries up to this number.
    audit: Option<u64>,
    /// Answers that are too old to count.
    answers: bool,
    /// The oldest answers of these users, who have too many.
    of_users: Vec<UserId>,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// And no more of them than so many.
    pub event_rows: u64,
    /// Audit entries.
    pub audit: Duration,
    /// The answers to requests with an `Idempotency-Key`. Too short does a late retry twice.
    pub answers: Duration,
}

impl Default for Retention {
    /// Events for 7 days and no more than 100,000, the audit for 90 days, answers for one day.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            events: 7 * DAY,
            event_rows: 100_000,
            audit: 90 * DAY,
            answers: DAY,
        }
    }
}

impl Control {
    pub(crate) async fn watch_retention(&self) {
        let kept = self.inner.retention;
        let shortest = kept.events.min(kept.audit).min(kept.answers);
        let every = (shortest / 10).clamp(Duration::from_secs(1), LOOK_EVERY);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.retention_look().await {
                tracing::error!(
                    error = chain(&error),
                    "what was kept long enough could not be forgotten"
                );
            }
        }
    }

    /// Forgets all that was kept long enough.
    pub(crate) async fn retention_look(&self) -> Result<(), Error> {
        loop {
            let due = self.due().await?;
            if due == Due::default() {
                return Ok(());
            }
            let mut write = self.inner.store.write().await?;
            if let Some(last) = due.events {
                write.event_prune(last).await?;
            }
            if let Some(last) = due.audit {
                write.audit_prune(last).await?;
            }
            if due.answers {
                write.answer_prune(self.answered_since(), AT_ONCE).await?;
            }
            for user in &due.of_users {
                write.answer_prune_of_user(*user, AT_ONCE).await?;
            }
            write.commit().await?;
            tracing::debug!(?due, "what was kept long enough is forgotten");
        }
    }

    /// What goes next, a few rows of each.
    async fn due(&self) -> Result<Due, Error> {
        let kept = self.inner.retention;
        let now = self.now();
        let before = |kept: Duration| {
            let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
            now.saturating_sub(kept).map_err(Error::internal)
        };
        let (events, audit) = (before(kept.events)?, before(kept.audit)?);
        let mut read = self.inner.store.read().await?;
        Ok(Due {
            events: read.event_due(events, kept.event_rows, AT_ONCE).await?,
            audit: read.audit_due(audit, AT_ONCE).await?,
            answers: read.answer_is_due(self.answered_since()).await?,
            of_users: read
                .answer_users_beyond(ANSWERS_OF_USER, ANSWER_BYTES_OF_USER)
                .await?,
        })
    }
}
