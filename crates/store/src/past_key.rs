//! Keys of people that a VM accepts no more although their sessions stayed open, until it boots again, which no session
//! outlives. Whoever loses the right to the VM later loses those sessions too, so their keys are remembered here.

use model::{UserId, VmId};

use crate::sql::{Builder, query};
use crate::{Read, StoreError, Write, row};

impl Read {
    /// The VMs where somebody may have sessions of keys that are accepted no more.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn past_key_vms(&mut self, user: UserId) -> Result<Vec<VmId>, StoreError> {
        let rows = query("SELECT DISTINCT vm FROM past_keys WHERE user_id = $1 ORDER BY vm")
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read where somebody's past keys are"))?;
        rows.iter().map(|row| row::parsed(row, "vm")).collect()
    }

    /// The VM that remembers most past keys of somebody, and how many.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn past_key_most(&mut self, user: UserId) -> Result<Option<(VmId, u64)>, StoreError> {
        const SQL: &str = "\
            SELECT vm, COUNT(*) AS many FROM past_keys WHERE user_id = $1 \
            GROUP BY vm ORDER BY many DESC, vm LIMIT 1";
        let found = query(SQL)
            .bind(user.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("count the past keys of somebody"))?;
        found
            .map(|row| Ok((row::parsed(&row, "vm")?, row::number(&row, "many")?)))
            .transpose()
    }
}

impl Write {
    /// Remembers a key that a VM accepted as this user's.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn past_key_put(
        &mut self,
        vm: VmId,
        user: UserId,
        fingerprint: &str,
    ) -> Result<(), StoreError> {
        query("INSERT INTO past_keys (vm, user_id, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(vm.to_string())
            .bind(user.to_string())
            .bind(fingerprint)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("remember a past key"))?;
        Ok(())
    }

    /// Forgets the past keys of those of these users who may not use the VM any more, are disabled, or are gone; gives
    /// the fingerprints.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn past_keys_take(&mut self, vm: VmId, users: &[UserId]) -> Result<Vec<String>, StoreError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = Builder::new("DELETE FROM past_keys WHERE vm = ");
        query.push_bind(vm.to_string()).push(" AND user_id IN (");
        query.push_list(users.iter().map(ToString::to_string));
        query.push(
            ") AND NOT EXISTS (SELECT 1 FROM principals WHERE principals.id = past_keys.user_id \
             AND principals.disabled = 0 AND EXISTS (SELECT 1 FROM \
             (SELECT owner AS id FROM vms WHERE vms.id = past_keys.vm \
             UNION SELECT principal FROM shares WHERE shares.vm = past_keys.vm) AS may_use \
             WHERE may_use.id = past_keys.user_id OR may_use.id IN \
             (SELECT team FROM members WHERE members.user_id = past_keys.user_id))) RETURNING fingerprint",
        );
        let rows = query
            .build()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("take the past keys of some users"))?;
        rows.iter().map(|row| row::text(row, "fingerprint")).collect()
    }

    /// Forgets all past keys of a VM.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn past_keys_delete(&mut self, vm: VmId) -> Result<(), StoreError> {
        query("DELETE FROM past_keys WHERE vm = $1")
            .bind(vm.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget the past keys of a VM"))?;
        Ok(())
    }
}
