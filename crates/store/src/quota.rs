//! How much users and teams may own, and how much they do.

use model::{Limits, PrincipalId, Usage};

use crate::principal::principal;
use crate::sql::{Row, query};
use crate::{Principal, Read, StoreError, Write, row};

impl Read {
    /// The limits that were set for a user or team; where nothing was set, the installation's hold.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn quota_fetch(&mut self, of: PrincipalId) -> Result<Limits, StoreError> {
        let found = query("SELECT * FROM quotas WHERE principal = $1")
            .bind(of.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a quota"))?;
        found.as_ref().map_or(Ok(Limits::default()), limits)
    }

    /// Users and teams behind a name, by name, so many at most, each with the limits that were set for it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn quota_list(
        &mut self,
        behind: &str,
        limit: u32,
    ) -> Result<Vec<(Principal, Limits)>, StoreError> {
        const SQL: &str = "SELECT principals.*, quotas.vms, quotas.cpus, quotas.memory_bytes, quotas.disk_bytes, \
             quotas.running FROM principals LEFT JOIN quotas ON quotas.principal = principals.id \
             WHERE principals.name > $1 ORDER BY principals.name LIMIT $2";
        let rows = query(SQL)
            .bind(behind)
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the quotas"))?;
        rows.iter()
            .map(|row| Ok((principal(row)?, limits(row)?)))
            .collect()
    }

    /// What the VMs of a user or team take of its quota. Those that were asked to go take nothing.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn usage_of_owner(&mut self, owner: PrincipalId) -> Result<Usage, StoreError> {
        const SQL: &str = "SELECT COUNT(*) AS vms, \
             CAST(COALESCE(SUM(disk_bytes), 0) AS BIGINT) AS disk_bytes, \
             CAST(COALESCE(SUM(CASE WHEN power = 'on' THEN cpus END), 0) AS BIGINT) AS cpus, \
             CAST(COALESCE(SUM(CASE WHEN power = 'on' THEN memory_bytes END), 0) AS BIGINT) AS memory_bytes, \
             CAST(COALESCE(SUM(CASE WHEN power = 'on' THEN 1 END), 0) AS BIGINT) AS running \
             FROM vms WHERE owner = $1 AND remove = 0";
        let row = query(SQL)
            .bind(owner.to_string())
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::sql("sum what a quota counts"))?;
        Ok(Usage {
            vms: row::number(&row, "vms")?,
            cpus: row::number(&row, "cpus")?,
            memory_bytes: row::number(&row, "memory_bytes")?,
            disk_bytes: row::number(&row, "disk_bytes")?,
            running: row::number(&row, "running")?,
        })
    }
}

impl Write {
    /// Sets the limits of a user or team, in the place of those that were set before.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn quota_put(&mut self, of: PrincipalId, limits: &Limits) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO quotas (principal, vms, cpus, memory_bytes, disk_bytes, running) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (principal) DO UPDATE SET vms = excluded.vms, \
             cpus = excluded.cpus, memory_bytes = excluded.memory_bytes, disk_bytes = excluded.disk_bytes, \
             running = excluded.running";
        let keep = |column, limit: Option<u64>| limit.map(|limit| row::keep(column, limit)).transpose();
        query(SQL)
            .bind(of.to_string())
            .bind(keep("vms", limits.vms)?)
            .bind(keep("cpus", limits.cpus)?)
            .bind(keep("memory_bytes", limits.memory_bytes)?)
            .bind(keep("disk_bytes", limits.disk_bytes)?)
            .bind(keep("running", limits.running)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("set a quota"))?;
        Ok(())
    }

    /// Forgets the limits of a user or team, so that the installation's hold.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn quota_delete(&mut self, of: PrincipalId) -> Result<(), StoreError> {
        query("DELETE FROM quotas WHERE principal = $1")
            .bind(of.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget a quota"))?;
        Ok(())
    }
}

fn limits(row: &Row) -> Result<Limits, StoreError> {
    Ok(Limits {
        vms: row::number_or_none(row, "vms")?,
        cpus: row::number_or_none(row, "cpus")?,
        memory_bytes: row::number_or_none(row, "memory_bytes")?,
        disk_bytes: row::number_or_none(row, "disk_bytes")?,
        running: row::number_or_none(row, "running")?,
    })
}
