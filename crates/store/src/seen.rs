//! What was seen of VMs. It is read with the VM it speaks of, see [`crate::Vm`].

use jiff::Timestamp;
use model::{Digest, ImageRef, Seen, UserId, VmId};

use crate::{Read, StoreError, Write, row};

impl Read {
    /// The images that VMs were made from which a user may use, each with the reference that its VM names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn image_list_of_user(&mut self, user: UserId) -> Result<Vec<(ImageRef, Digest)>, StoreError> {
        const SQL: &str = "\
            WITH of_user (id) AS (SELECT $1 UNION SELECT team FROM members WHERE user_id = $1) \
            SELECT vms.image, seen.seen FROM vms JOIN seen ON seen.vm = vms.id \
            WHERE vms.owner IN (SELECT id FROM of_user) \
            OR vms.id IN (SELECT vm FROM shares WHERE principal IN (SELECT id FROM of_user))";
        let rows = sqlx::query(SQL)
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the images of somebody's VMs"))?;
        let mut images = Vec::with_capacity(rows.len());
        for row in &rows {
            let seen: Seen = row::document(row, "seen")?;
            if let Some(digest) = seen.image_digest {
                images.push((row::parsed(row, "image")?, digest));
            }
        }
        Ok(images)
    }
}

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
