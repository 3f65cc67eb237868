//! What hosts hold and no plan names: it keeps running until an admin adopts or removes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{HostId, Seen, VmBody, VmId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A VM that a host has and that nobody here asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The host that has it.
    pub host: HostId,
    /// The VM.
    pub vm: VmId,
    /// What the host sees of it; its stage is never kept.
    pub seen: Seen,
    /// What the host holds of its wish; `None` where that is damaged.
    pub body: Option<VmBody>,
    /// When it was first reported just so.
    pub observed_at: Timestamp,
}

impl Read {
    /// Everything found on any host, by host and VM, but for what is asked for on that host by now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn found_list(&mut self) -> Result<Vec<Found>, StoreError> {
        let rows = query(
            "SELECT * FROM found WHERE NOT EXISTS \
             (SELECT 1 FROM vms WHERE vms.id = found.vm AND vms.host = found.host) ORDER BY host, vm",
        )
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("read what was found"))?;
        rows.iter().map(found).collect()
    }

    /// How many were found on each host that has any.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn found_count_by_host(&mut self) -> Result<BTreeMap<HostId, u64>, StoreError> {
        let rows = query(
            "SELECT host, COUNT(*) AS count FROM found WHERE NOT EXISTS \
             (SELECT 1 FROM vms WHERE vms.id = found.vm AND vms.host = found.host) GROUP BY host",
        )
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("count what was found"))?;
        rows.iter().map(row::count_of_host).collect()
    }

    /// Everything found on a host, by VM, but for what is asked for there by now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn found_list_of_host(&mut self, host: HostId) -> Result<Vec<Found>, StoreError> {
        let rows = query(
            "SELECT * FROM found WHERE host = $1 AND NOT EXISTS \
             (SELECT 1 FROM vms WHERE vms.id = found.vm AND vms.host = found.host) ORDER BY vm",
        )
        .bind(host.to_string())
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("read what was found on a host"))?;
        rows.iter().map(found).collect()
    }

    /// One that was found.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn found_fetch(&mut self, host: HostId, vm: VmId) -> Result<Option<Found>, StoreError> {
        let row = query("SELECT * FROM found WHERE host = $1 AND vm = $2")
            .bind(host.to_string())
            .bind(vm.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read what was found"))?;
        row.as_ref().map(found).transpose()
    }
}

impl Write {
    /// Keeps one that was found in the place of what was kept of it before.
    ///
    /// # Errors
    /// The host is unknown, or the database refuses.
    pub async fn found_put(&mut self, found: &Found) -> Result<(), StoreError> {
        let kept = Seen {
            stage: None,
            ..found.seen.clone()
        };
        let body = found.body.as_ref();
        query(
            "INSERT INTO found (host, vm, seen, body, observed_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (host, vm) DO UPDATE SET seen = excluded.seen, body = excluded.body, \
             observed_at = excluded.observed_at",
        )
        .bind(found.host.to_string())
        .bind(found.vm.to_string())
        .bind(row::keep_document("seen", &kept)?)
        .bind(body.map(|body| row::keep_document("body", body)).transpose()?)
        .bind(found.observed_at.as_millisecond())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep what was found"))?;
        Ok(())
    }

    /// Forgets one that is not found any more.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn found_delete(&mut self, host: HostId, vm: VmId) -> Result<(), StoreError> {
        query("DELETE FROM found WHERE host = $1 AND vm = $2")
            .bind(host.to_string())
            .bind(vm.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget what was found"))?;
        Ok(())
    }
}

fn found(row: &Row) -> Result<Found, StoreError> {
    Ok(Found {
        host: row::parsed(row, "host")?,
        vm: row::parsed(row, "vm")?,
        seen: row::document(row, "seen")?,
        body: row::document_or_none(row, "body")?,
        observed_at: row::time(row, "observed_at")?,
    })
}
