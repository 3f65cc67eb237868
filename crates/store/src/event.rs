//! What happened, in the order of commits.
//!
//! An event's number comes from a counter whose row stays locked until the commit. A database sequence would not
//! do: two transactions may draw 1 and 2 and commit in the other order, and a reader that saw 2 would miss 1.

use jiff::Timestamp;
use model::VmId;
use sqlx::sqlite::SqliteRow;

use crate::{Read, StoreError, Write, row};

/// An event to be written with its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// Which of the closed list of types, as text.
    pub kind: &'static str,
    /// The VM it is about.
    pub vm: VmId,
    /// The VM's generation after it.
    pub generation: u64,
    /// What belongs to the type, as a JSON object.
    pub data: String,
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of commits, from 1.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Its type, as text.
    pub kind: String,
    /// The VM it is about.
    pub vm: VmId,
    /// The VM's generation after it.
    pub generation: u64,
    /// What belongs to the type, as a JSON object.
    pub data: String,
}

impl Read {
    /// The number of the newest event; 0 before the first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event_last(&mut self) -> Result<u64, StoreError> {
        let found = sqlx::query("SELECT value FROM counters WHERE name = 'event'")
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read the newest event's number"))?;
        found.map_or(Ok(0), |row| row::number(&row, "value"))
    }

    /// Up to `limit` events behind number `after`, of one VM or of all.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event_list(
        &mut self,
        after: u64,
        vm: Option<VmId>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = match vm {
            Some(vm) => {
                sqlx::query("SELECT * FROM events WHERE sequence > $1 AND vm = $3 ORDER BY sequence LIMIT $2")
                    .bind(row::keep("sequence", after)?)
                    .bind(i64::from(limit))
                    .bind(vm.to_string())
            }
            None => sqlx::query("SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(row::keep("sequence", after)?)
                .bind(i64::from(limit)),
        };
        let rows = query.fetch_all(self.connection()).await;
        let rows = rows.map_err(StoreError::sql("read events"))?;
        rows.iter().map(event).collect()
    }
}

impl Write {
    /// Writes an event and gives its number.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn event_insert(&mut self, event: &NewEvent) -> Result<u64, StoreError> {
        let sequence = self.counter_draw("event").await?;
        sqlx::query(
            "INSERT INTO events (sequence, at, type, vm, generation, data) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(row::keep("sequence", sequence)?)
        .bind(event.at.as_millisecond())
        .bind(event.kind)
        .bind(event.vm.to_string())
        .bind(row::keep("generation", event.generation)?)
        .bind(&event.data)
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("write an event"))?;
        Ok(sequence)
    }
}

fn event(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        sequence: row::number(row, "sequence")?,
        at: row::time(row, "at")?,
        kind: row::text(row, "type")?,
        vm: row::parsed(row, "vm")?,
        generation: row::number(row, "generation")?,
        data: row::text(row, "data")?,
    })
}
