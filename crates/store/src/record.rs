//! What is written about a change: who made it, what happened, how its request was answered.
//!
//! All of it goes to the database at once, as a change's last words: one statement after another would cost more time on
//! the way than in the database, and everybody behind the change waits for that.

use sqlx::{QueryBuilder, Sqlite};

use crate::{Answer, NewAuditEntry, NewEvent, StoreError, Write, answer, audit, event, row};

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

    /// No more than events.
    pub const fn of_events(events: &'a [NewEvent]) -> Self {
        Self {
            audit: &[],
            events,
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
        let mut query = QueryBuilder::<Sqlite>::new("");
        draw(&mut query, record)?;
        audit::insert(&mut query, record.audit)?;
        event::insert(&mut query, record.events)?;
        if let Some(answer) = record.answer {
            answer::insert(&mut query, answer);
        }
        let drawn = query
            .build()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("write what is said about a change"))?;
        for drawn in drawn {
            if row::text(&drawn, "name")? == "event" {
                return Ok(Some(row::number(&drawn, "value")?));
            }
        }
        Ok(None)
    }
}

/// Draws the numbers: the counters stand on the last of them behind it. Their rows stay locked until the commit, so numbers
/// rise in the order of commits.
fn draw(query: &mut QueryBuilder<Sqlite>, record: &Record<'_>) -> Result<(), StoreError> {
    let wanted = [
        ("audit", record.audit.len() as u64),
        ("event", record.events.len() as u64),
    ];
    let mut rows = Vec::new();
    for (name, count) in wanted {
        if count > 0 {
            rows.push((name, row::keep("value", count)?));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    query.push("INSERT INTO counters (name, value) ");
    query.push_values(rows, |mut values, (name, count)| {
        values.push_bind(name).push_bind(count);
    });
    query.push(
        " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING name, value; ",
    );
    Ok(())
}
