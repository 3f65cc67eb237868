//! What happened, in the order of commits.
//!
//! An event's number comes from a counter whose row stays locked until the commit. A database sequence would not
//! do: two transactions may draw 1 and 2 and commit in the other order, and a reader that saw 2 would miss 1.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{UserId, VmId};

use crate::sql::{Row, query};
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
    /// The people who may see it once its VM is gone; kept with its last event.
    pub audience: Option<BTreeSet<UserId>>,
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
    /// The people who may see it, where it is its VM's last.
    pub audience: Option<BTreeSet<UserId>>,
}

impl Read {
    /// The number of the oldest event that is kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event_first(&mut self) -> Result<Option<u64>, StoreError> {
        let row = query("SELECT MIN(sequence) AS sequence FROM events")
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::sql("read the oldest event's number"))?;
        row::number_or_none(&row, "sequence")
    }

    /// The people of a VM: its owner or the owning team's members, and everybody it is shared with. Of one that is gone,
    /// those it had at its end.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn audience_fetch(&mut self, vm: VmId) -> Result<BTreeSet<UserId>, StoreError> {
        const SQL: &str = "\
            WITH may_use (id) AS (SELECT owner FROM vms WHERE id = $1 \
                UNION SELECT principal FROM shares WHERE vm = $1) \
            SELECT principals.id FROM principals WHERE role IS NOT NULL AND id IN (SELECT id FROM may_use \
                UNION SELECT user_id FROM members WHERE team IN (SELECT id FROM may_use))";
        let rows = query(SQL)
            .bind(vm.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read who may see a VM"))?;
        if !rows.is_empty() {
            return rows.iter().map(|row| row::parsed(row, "id")).collect();
        }
        Ok(self.last_audience_fetch(vm).await?.unwrap_or_default())
    }

    /// The number of the newest event; 0 before the first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event_last(&mut self) -> Result<u64, StoreError> {
        let found = query("SELECT value FROM counters WHERE name = 'event'")
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
                query("SELECT * FROM events WHERE sequence > $1 AND vm = $3 ORDER BY sequence LIMIT $2")
                    .bind(row::keep("sequence", after)?)
                    .bind(i64::from(limit))
                    .bind(vm.to_string())
            }
            None => query("SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(row::keep("sequence", after)?)
                .bind(i64::from(limit)),
        };
        let rows = query.fetch_all(self.connection()).await;
        let rows = rows.map_err(StoreError::sql("read events"))?;
        rows.iter().map(event).collect()
    }

    /// The number up to which events are due to be forgotten: those from before a time, and those beyond so many; among the
    /// oldest so many, so that it costs the same however many are kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event_due(
        &mut self,
        before: Timestamp,
        keep: u64,
        at_once: u32,
    ) -> Result<Option<u64>, StoreError> {
        let beyond = self.event_last().await?.saturating_sub(keep);
        let rows = query("SELECT sequence, at FROM events ORDER BY sequence LIMIT $1")
            .bind(i64::from(at_once))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the oldest events"))?;
        row::last_due(&rows, |sequence, at| at < before || sequence <= beyond)
    }

    /// The people who might see a VM at its end, where its last event is kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn last_audience_fetch(&mut self, vm: VmId) -> Result<Option<BTreeSet<UserId>>, StoreError> {
        let last = query("SELECT audience FROM events WHERE vm = $1 AND audience IS NOT NULL")
            .bind(vm.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read who might see a VM"))?;
        last.as_ref()
            .map(|row| row::document(row, "audience"))
            .transpose()
    }
}

impl Write {
    /// Forgets the events up to a number.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn event_prune(&mut self, last: u64) -> Result<(), StoreError> {
        query("DELETE FROM events WHERE sequence <= $1")
            .bind(row::keep("sequence", last)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget old events"))?;
        Ok(())
    }

    /// Writes events in their order, under the numbers from this one on.
    pub(crate) async fn event_insert(&mut self, first: u64, events: &[NewEvent]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO events (sequence, generation, audience, at, type, vm, data) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for (sequence, event) in (first..).zip(events) {
            let audience = event.audience.as_ref();
            let audience = audience.map(|audience| row::keep_document("audience", audience));
            query(SQL)
                .bind(row::keep("sequence", sequence)?)
                .bind(row::keep("generation", event.generation)?)
                .bind(audience.transpose()?)
                .bind(event.at.as_millisecond())
                .bind(event.kind)
                .bind(event.vm.to_string())
                .bind(&event.data)
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("write events"))?;
        }
        Ok(())
    }
}

fn event(row: &Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        sequence: row::number(row, "sequence")?,
        at: row::time(row, "at")?,
        kind: row::text(row, "type")?,
        vm: row::parsed(row, "vm")?,
        generation: row::number(row, "generation")?,
        data: row::text(row, "data")?,
        audience: row::document_or_none(row, "audience")?,
    })
}
