//! What a plan says: the VMs of a host, in short, and in full those that the host does not hold yet.

use model::{Digest, HostId, VmId};

use crate::sql::{Row, query};
use crate::vm::{select, vm};
use crate::{Read, StoreError, Vm, Write, row};

/// A VM as a plan names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedVm {
    /// The VM.
    pub id: VmId,
    /// Rises when the VM moves.
    pub placement: u64,
    /// Rises with each change of what is asked.
    pub generation: u64,
    /// Whether it must go.
    pub remove: bool,
}

impl Read {
    /// The VMs of a host in short, by id: the order of a plan.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn planned_list(&mut self, host: HostId) -> Result<Vec<PlannedVm>, StoreError> {
        const SQL: &str = "SELECT id, placement, generation, remove FROM vms WHERE host = $1 ORDER BY id";
        let rows = query(SQL)
            .bind(host.to_string())
            .long()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what is planned for a host"))?;
        rows.iter().map(planned).collect()
    }

    /// The VMs of a host of which it has not said that it holds what is asked, by id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn vm_list_not_held(&mut self, host: HostId) -> Result<Vec<Vm>, StoreError> {
        const SQL: &str = select!(
            "WHERE vms.id IN (SELECT planned.id FROM vms AS planned LEFT JOIN seen AS held ON held.vm = planned.id \
             WHERE planned.host = $1 AND (held.vm IS NULL OR held.placement <> planned.placement \
             OR held.accepted <> planned.generation)) ORDER BY vms.id"
        );
        let rows = query(SQL)
            .bind(host.to_string())
            .long()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read what a host does not hold"))?;
        rows.iter().map(vm).collect()
    }
}

impl Write {
    /// Gives a plan its number, if the one before is still as it was read; gives whether it was.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn plan_number_update(
        &mut self,
        host: HostId,
        before: (u64, Option<Digest>),
        now: (u64, Digest),
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE hosts SET plan_number = $1, plan_content = $2 \
             WHERE id = $3 AND plan_number = $4 AND plan_content IS NOT DISTINCT FROM $5",
        )
        .bind(row::keep("plan_number", now.0)?)
        .bind(now.1.to_string())
        .bind(host.to_string())
        .bind(row::keep("plan_number", before.0)?)
        .bind(before.1.map(|digest| digest.to_string()))
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("number a plan"))?;
        Ok(done > 0)
    }
}

fn planned(row: &Row) -> Result<PlannedVm, StoreError> {
    Ok(PlannedVm {
        id: row::parsed(row, "id")?,
        placement: row::number(row, "placement")?,
        generation: row::number(row, "generation")?,
        remove: row::flag(row, "remove")?,
    })
}
