//! What happens to VMs, for people and programs to follow.
//!
//! Everything but progress is a row, written in the transaction of its change, and has a number in the order of
//! commits. Progress is told live and never kept. The types are a closed list; docs/events.md tells clients what each
//! carries:
//!
//! | type | when |
//! | --- | --- |
//! | `created` | a VM was asked for |
//! | `adopted` | one that was found on a host is asked for from now on |
//! | `changed` | something else is asked of it; the generation has risen |
//! | `status` | the status people see, or its reason, has changed |
//! | `ending` | it will be stopped before long, for being idle or for its time to live |
//! | `deleted` | it is gone; the last event of a VM |
//! | `progress` | how far a stage has come |

use jiff::Timestamp;
use model::{HostId, Reason, Stage, Status, VmId, VmName};
use serde::{Deserialize, Serialize};
use store::StoredEvent;

use crate::Error;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of commits; `None` for progress, which has none.
    pub sequence: Option<u64>,
    /// When it happened.
    pub at: Timestamp,
    /// The VM it is about.
    pub vm: VmId,
    /// The VM's generation after it.
    pub generation: u64,
    /// What happened.
    pub what: EventKind,
}

impl Event {
    /// The event that a row holds.
    pub(crate) fn of_row(row: &StoredEvent) -> Result<Self, Error> {
        Ok(Self {
            sequence: Some(row.sequence),
            at: row.at,
            vm: row.vm,
            generation: row.generation,
            what: serde_json::from_str(&row.data).map_err(Error::internal)?,
        })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// A VM was asked for.
    Created {
        /// Its name.
        name: VmName,
    },
    /// One that was found is asked for from now on.
    Adopted {
        /// Its name.
        name: VmName,
        /// The host it was found on.
        host: HostId,
    },
    /// Something else is asked of it.
    Changed,
    /// The status people see has changed.
    Status {
        /// The status.
        status: Status,
        /// Why.
        reason: Option<Reason>,
    },
    /// It will be stopped before long.
    Ending {
        /// For what.
        ending: Ending,
        /// In how many seconds.
        seconds: u64,
    },
    /// It is gone.
    Deleted,
    /// How far a stage has come.
    Progress {
        /// The stage.
        stage: Stage,
    },
}

/// Why a VM will be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Nobody uses it.
    Idle,
    /// Its time to live is over.
    TimeToLive,
}

impl Ending {
    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::TimeToLive => "time_to_live",
        }
    }
}

impl EventKind {
    /// The type's stable text form.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Adopted { .. } => "adopted",
            Self::Changed => "changed",
            Self::Status { .. } => "status",
            Self::Ending { .. } => "ending",
            Self::Deleted => "deleted",
            Self::Progress { .. } => "progress",
        }
    }
}
