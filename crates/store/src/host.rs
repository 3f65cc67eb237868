//! Hosts: what they said of themselves, and the plan number that is theirs.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{Capacity, Digest, Feature, HeldImage, HostId, HostName, InstallationId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its id, drawn by itself.
    pub id: HostId,
    /// Its name, as it is configured there.
    pub name: HostName,
    /// The version of its orchestrator.
    pub version: String,
    /// The installation it says it obeys; `None` before it accepted a plan.
    pub installation: Option<InstallationId>,
    /// Whether it has not reported for too long.
    pub silent: bool,
    /// When its first report came.
    pub first_report_at: Timestamp,
    /// When its newest report came.
    pub last_report_at: Timestamp,
    /// Start and number of its newest report.
    pub report: (u64, u64),
    /// The number of the newest plan made for it; 0 before the first.
    pub plan_number: u64,
    /// The digest of what that number stands for; `None` makes the next plan draw a new number.
    pub plan_content: Option<Digest>,
    /// The newest plan it accepted.
    pub accepted_plan: u64,
    /// The plan it refused last, if it accepted none since.
    pub refused: Option<Refused>,
    /// What it can hold, once it said so.
    pub capacity: Option<Capacity>,
    /// The images it holds.
    pub images: Vec<HeldImage>,
    /// What it can do.
    pub features: BTreeSet<Feature>,
}

/// What decides whether a host has room for a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoom {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: HostName,
    /// The installation it says it obeys.
    pub installation: Option<InstallationId>,
    /// Whether it has not reported for too long.
    pub silent: bool,
    /// What it can hold, once it said so.
    pub capacity: Option<Capacity>,
    /// What it can do.
    pub features: BTreeSet<Feature>,
    /// What was asked on it, summed; VMs that are being removed count until they are gone.
    pub booked: Capacity,
}

/// A plan that a host refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The plan's number.
    pub plan: u64,
    /// The cause's stable text form.
    pub code: String,
    /// The cause, for people.
    pub message: String,
}

impl Read {
    /// A host by its id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn host_fetch(&mut self, id: HostId) -> Result<Option<Host>, StoreError> {
        let found = query("SELECT * FROM hosts WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a host"))?;
        found.as_ref().map(host).transpose()
    }

    /// All hosts, by name and id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn host_list(&mut self) -> Result<Vec<Host>, StoreError> {
        let rows = query("SELECT * FROM hosts ORDER BY name, id")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the hosts"))?;
        rows.iter().map(host).collect()
    }
}

impl Read {
    /// What each host has room for, by name and id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn host_room_list(&mut self) -> Result<Vec<HostRoom>, StoreError> {
        const SQL: &str = "SELECT id, name, installation, silent, cpus, memory_bytes, disk_bytes, features, \
             booked_cpus, booked_memory_bytes, booked_disk_bytes FROM hosts ORDER BY name, id";
        let rows = query(SQL)
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what hosts have room for"))?;
        rows.iter().map(host_room).collect()
    }
}

impl Write {
    /// Keeps a host as it is given, new or not.
    ///
    /// # Errors
    /// The database refuses, or a number is beyond 63 bits.
    pub async fn host_put(&mut self, host: &Host) -> Result<(), StoreError> {
        let refused = host.refused.as_ref();
        query(PUT)
            .bind(host.id.to_string())
            .bind(host.name.as_str())
            .bind(&host.version)
            .bind(host.installation.map(|id| id.to_string()))
            .bind(i64::from(host.silent))
            .bind(host.first_report_at.as_millisecond())
            .bind(host.last_report_at.as_millisecond())
            .bind(row::keep("report_start", host.report.0)?)
            .bind(row::keep("report_number", host.report.1)?)
            .bind(row::keep("plan_number", host.plan_number)?)
            .bind(host.plan_content.map(|digest| digest.to_string()))
            .bind(row::keep("accepted_plan", host.accepted_plan)?)
            .bind(
                refused
                    .map(|refused| row::keep("refused_plan", refused.plan))
                    .transpose()?,
            )
            .bind(refused.map(|refused| &refused.code))
            .bind(refused.map(|refused| &refused.message))
            .bind(host.capacity.map(|capacity| i64::from(capacity.cpus)))
            .bind(size(
                "memory_bytes",
                host.capacity.map(|capacity| capacity.memory_bytes),
            )?)
            .bind(size(
                "disk_bytes",
                host.capacity.map(|capacity| capacity.disk_bytes),
            )?)
            .bind(row::keep_document("images", &host.images)?)
            .bind(row::keep_document("features", &host.features)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a host"))?;
        Ok(())
    }
}

const PUT: &str = "INSERT INTO hosts (id, name, version, installation, silent, first_report_at, last_report_at, \
     report_start, report_number, plan_number, plan_content, accepted_plan, refused_plan, refused_code, \
     refused_message, cpus, memory_bytes, disk_bytes, images, features) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, \
     installation = excluded.installation, silent = excluded.silent, last_report_at = excluded.last_report_at, \
     report_start = excluded.report_start, report_number = excluded.report_number, \
     plan_number = excluded.plan_number, plan_content = excluded.plan_content, \
     accepted_plan = excluded.accepted_plan, refused_plan = excluded.refused_plan, \
     refused_code = excluded.refused_code, refused_message = excluded.refused_message, cpus = excluded.cpus, \
     memory_bytes = excluded.memory_bytes, disk_bytes = excluded.disk_bytes, images = excluded.images, \
     features = excluded.features";

fn size(column: &'static str, bytes: Option<u64>) -> Result<Option<i64>, StoreError> {
    bytes.map(|bytes| row::keep(column, bytes)).transpose()
}

fn host(row: &Row) -> Result<Host, StoreError> {
    Ok(Host {
        id: row::parsed(row, "id")?,
        name: row::parsed(row, "name")?,
        version: row::text(row, "version")?,
        installation: row::parsed_or_none(row, "installation")?,
        silent: row::flag(row, "silent")?,
        first_report_at: row::time(row, "first_report_at")?,
        last_report_at: row::time(row, "last_report_at")?,
        report: (
            row::number(row, "report_start")?,
            row::number(row, "report_number")?,
        ),
        plan_number: row::number(row, "plan_number")?,
        plan_content: row::parsed_or_none(row, "plan_content")?,
        accepted_plan: row::number(row, "accepted_plan")?,
        refused: refused(row)?,
        capacity: capacity(row)?,
        images: row::document(row, "images")?,
        features: row::document(row, "features")?,
    })
}

fn refused(row: &Row) -> Result<Option<Refused>, StoreError> {
    let Some(plan) = row::number_or_none(row, "refused_plan")? else {
        return Ok(None);
    };
    Ok(Some(Refused {
        plan,
        code: row::text(row, "refused_code")?,
        message: row::text(row, "refused_message")?,
    }))
}

fn capacity(row: &Row) -> Result<Option<Capacity>, StoreError> {
    if row::number_or_none(row, "cpus")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Capacity {
        cpus: row::small(row, "cpus")?,
        memory_bytes: row::number(row, "memory_bytes")?,
        disk_bytes: row::number(row, "disk_bytes")?,
    }))
}

fn host_room(row: &Row) -> Result<HostRoom, StoreError> {
    Ok(HostRoom {
        id: row::parsed(row, "id")?,
        name: row::parsed(row, "name")?,
        installation: row::parsed_or_none(row, "installation")?,
        silent: row::flag(row, "silent")?,
        capacity: capacity(row)?,
        features: row::document(row, "features")?,
        booked: Capacity {
            cpus: row::small(row, "booked_cpus")?,
            memory_bytes: row::number(row, "booked_memory_bytes")?,
            disk_bytes: row::number(row, "booked_disk_bytes")?,
        },
    })
}
