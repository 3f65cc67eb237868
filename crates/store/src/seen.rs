//! What was seen of VMs. It is read with the VM it speaks of, see [`crate::Vm`].

use jiff::Timestamp;
use model::{Digest, ImageRef, Seen, UserId, VmId};

use crate::sql::query;
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
        let rows = query(SQL)
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
    /// Keeps what was seen of VMs in the place of what was seen before, without stages: progress is never kept.
    ///
    /// # Errors
    /// A VM is unknown, or the database refuses.
    pub async fn seen_put(&mut self, seen: &[(VmId, Seen)], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO seen (vm, seen, placement, accepted, observed_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (vm) DO UPDATE SET seen = excluded.seen, \
             observed_at = excluded.observed_at, placement = excluded.placement, accepted = excluded.accepted";
        for (vm, seen) in seen {
            let kept = Seen {
                stage: None,
                ..seen.clone()
            };
            query(SQL)
                .bind(vm.to_string())
                .bind(row::keep_document("seen", &kept)?)
                .bind(row::keep("placement", seen.placement)?)
                .bind(row::keep("accepted", seen.accepted)?)
                .bind(at.as_millisecond())
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("keep what was seen of VMs"))?;
        }
        Ok(())
    }
}
