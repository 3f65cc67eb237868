//! How long a VM lives: when it expires, since when it is off for that, and whether it goes with its client.

use jiff::Timestamp;
use model::VmId;

use crate::sql::Query;
use crate::sql::{Row, query};
use crate::vm::{select, vm};
use crate::{Read, StoreError, Vm, Write, row};

/// How long an expired VM is kept where nothing else is said: 72 h.
pub const DEFAULT_GRACE: u64 = 72 * 60 * 60;

/// How long a VM lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The time to live it was given, in seconds.
    pub ttl: Option<u64>,
    /// When it is stopped for having lived long enough.
    pub expires_at: Option<Timestamp>,
    /// How long it is kept from then on, in seconds.
    pub grace: u64,
    /// When it was seen to be off after it expired.
    pub stopped_at: Option<Timestamp>,
    /// Whether the warning was given.
    pub warned: bool,
    /// How many seconds it outlives the last sign of its client.
    pub lease: Option<u64>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            ttl: None,
            expires_at: None,
            grace: DEFAULT_GRACE,
            stopped_at: None,
            warned: false,
            lease: None,
        }
    }
}

impl Read {
    /// The VMs that expire at a time or before and are not asked to go, soonest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_expiring(&mut self, until: Timestamp) -> Result<Vec<Vm>, StoreError> {
        let rows = query(select!(
            "WHERE vms.expires_at <= $1 AND vms.remove = 0 ORDER BY vms.expires_at, vms.id"
        ))
        .bind(until.as_millisecond())
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("read the VMs that expire"))?;
        rows.iter().map(vm).collect()
    }

    /// The VMs that go with their clients and are not asked to go.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_leased(&mut self) -> Result<Vec<Vm>, StoreError> {
        let rows = query(select!(
            "WHERE vms.lease IS NOT NULL AND vms.remove = 0 ORDER BY vms.id"
        ))
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::sql("read the VMs that go with their clients"))?;
        rows.iter().map(vm).collect()
    }
}

impl Write {
    /// Keeps how long a VM lives.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn vm_life_update(&mut self, id: VmId, life: &Life) -> Result<(), StoreError> {
        bind_life(
            query(
                "UPDATE vms SET ttl = $1, expires_at = $2, grace = $3, stopped_at = $4, warned = $5, lease = $6 \
                 WHERE id = $7",
            ),
            life,
        )?
        .bind(id.to_string())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep how long a VM lives"))?;
        Ok(())
    }
}

/// Binds the next six parameters: `ttl` to `lease`, as the schema orders them.
pub(crate) fn bind_life(query: Query, life: &Life) -> Result<Query, StoreError> {
    let seconds = |column, length: Option<u64>| length.map(|length| row::keep(column, length)).transpose();
    Ok(query
        .bind(seconds("ttl", life.ttl)?)
        .bind(life.expires_at.map(Timestamp::as_millisecond))
        .bind(row::keep("grace", life.grace)?)
        .bind(life.stopped_at.map(Timestamp::as_millisecond))
        .bind(i64::from(life.warned))
        .bind(seconds("lease", life.lease)?))
}

pub(crate) fn life(row: &Row) -> Result<Life, StoreError> {
    Ok(Life {
        ttl: row::number_or_none(row, "ttl")?,
        expires_at: row::time_or_none(row, "expires_at")?,
        grace: row::number(row, "grace")?,
        stopped_at: row::time_or_none(row, "stopped_at")?,
        warned: row::flag(row, "warned")?,
        lease: row::number_or_none(row, "lease")?,
    })
}
