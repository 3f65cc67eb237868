//! What was seen of VMs. It is read with the VM it speaks of, see [`crate::Vm`].

use jiff::Timestamp;
use model::{Digest, ImageRef, Seen, UserId, VmId};
use sqlx::{QueryBuilder, Sqlite};

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

/// Rows written in one statement.
const AT_ONCE: usize = 256;

impl Write {
    /// Keeps what was seen of VMs in the place of what was seen before, without stages: progress is never kept.
    ///
    /// # Errors
    /// A VM is unknown, or the database refuses.
    pub async fn seen_put(&mut self, seen: &[(VmId, Seen)], at: Timestamp) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(seen.len());
        for (vm, seen) in seen {
            let kept = Seen {
                stage: None,
                ..seen.clone()
            };
            rows.push((
                vm.to_string(),
                row::keep_document("seen", &kept)?,
                row::keep("placement", seen.placement)?,
                row::keep("accepted", seen.accepted)?,
            ));
        }
        for rows in rows.chunks(AT_ONCE) {
            QueryBuilder::<Sqlite>::new("INSERT INTO seen (vm, seen, placement, accepted, observed_at) ")
                .push_values(rows, |mut values, (vm, seen, placement, accepted)| {
                    values
                        .push_bind(vm)
                        .push_bind(seen)
                        .push_bind(placement)
                        .push_bind(accepted)
                        .push_bind(at.as_millisecond());
                })
                .push(
                    " ON CONFLICT (vm) DO UPDATE SET seen = excluded.seen, observed_at = excluded.observed_at, \
                     placement = excluded.placement, accepted = excluded.accepted",
                )
                .build()
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("keep what was seen of VMs"))?;
        }
        Ok(())
    }
}
