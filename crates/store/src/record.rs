//! What is written about a change: who made it, what happened, how its request was answered.

use crate::{Answer, NewAuditEntry, NewEvent, StoreError, Write};

/// What is written about a change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Who made it.
    pub audit: &'a [NewAuditEntry],
    /// What happened, in its order.
    pub events: &'a [NewEvent],
    /// How its request was answered, where that is to be done once.
    pub answer: Option<&'a Answer>,
}

impl<'a> Record<'a> {
    /// No more than audit entries.
    pub const fn of_audit(audit: &'a [NewAuditEntry]) -> Self {
        Self {
            audit,
            events: &[],
            answer: None,
        }
    }
}

impl Write {
    /// Writes what there is to say about a change, and gives the number of its last event.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn record(&mut self, record: &Record<'_>) -> Result<Option<u64>, StoreError> {
        if !record.audit.is_empty() {
            let first = self.counter_draw("audit", record.audit.len()).await?;
            self.audit_insert(first, record.audit).await?;
        }
        if let Some(answer) = record.answer {
            self.answer_put(answer).await?;
        }
        let more = match record.events.len() {
            0 => return Ok(None),
            count => count as u64 - 1,
        };
        let first = self.counter_draw("event", record.events.len()).await?;
        self.event_insert(first, record.events).await?;
        Ok(Some(first + more))
    }
}
