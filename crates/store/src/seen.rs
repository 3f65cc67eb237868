//! What was seen of VMs. It is read with the VM it speaks of, see [`crate::Vm`].

use jiff::Timestamp;
use model::{Seen, VmId};

use crate::{StoreError, Write, row};

impl Write {
    /// Keeps what was seen of a VM in the place of what was seen before, without its stage: progress is never kept.
    ///
    /// # Errors
    /// The VM is unknown, or the database refuses.
    pub async fn seen_put(&mut self, vm: VmId, seen: &Seen, at: Timestamp) -> Result<(), StoreError> {
        let kept = Seen {
            stage: None,
            ..seen.clone()
        };
        sqlx::query(
            "INSERT INTO seen (vm, seen, observed_at, placement, accepted) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (vm) DO UPDATE SET seen = excluded.seen, observed_at = excluded.observed_at, \
             placement = excluded.placement, accepted = excluded.accepted",
        )
        .bind(vm.to_string())
        .bind(row::keep_document("seen", &kept)?)
        .bind(at.as_millisecond())
        .bind(row::keep("placement", seen.placement)?)
        .bind(row::keep("accepted", seen.accepted)?)
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep what was seen of a VM"))?;
        Ok(())
    }
}
