//! The SSH keys of users.

use jiff::Timestamp;
use model::{PrincipalId, PublicKey, UserId, VmId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A user's SSH key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// Whose it is.
    pub user: UserId,
    /// The key; its fingerprint is its identity.
    pub key: PublicKey,
    /// Since when.
    pub added_at: Timestamp,
}

impl Read {
    /// A user's keys, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ssh_key_list_of_user(&mut self, user: UserId) -> Result<Vec<SshKey>, StoreError> {
        let rows = query("SELECT * FROM ssh_keys WHERE user_id = $1 ORDER BY added_at, fingerprint")
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the keys of a user"))?;
        rows.iter().map(ssh_key).collect()
    }

    /// A user's key by its fingerprint.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ssh_key_fetch(
        &mut self,
        user: UserId,
        fingerprint: &str,
    ) -> Result<Option<SshKey>, StoreError> {
        let found = query("SELECT * FROM ssh_keys WHERE user_id = $1 AND fingerprint = $2")
            .bind(user.to_string())
            .bind(fingerprint)
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a user's key"))?;
        found.as_ref().map(ssh_key).transpose()
    }

    /// The keys of a user, or of a team's members. Who is disabled is left out. Oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ssh_key_list_of_owner(&mut self, owner: PrincipalId) -> Result<Vec<SshKey>, StoreError> {
        const SQL: &str = "\
            SELECT ssh_keys.* FROM ssh_keys JOIN principals ON principals.id = ssh_keys.user_id \
            WHERE (ssh_keys.user_id = $1 OR ssh_keys.user_id IN (SELECT user_id FROM members WHERE team = $1)) \
            AND principals.disabled = 0 ORDER BY ssh_keys.added_at, ssh_keys.user_id, ssh_keys.fingerprint";
        let rows = query(SQL)
            .bind(owner.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the keys of an owner"))?;
        rows.iter().map(ssh_key).collect()
    }

    /// The keys of everybody who may use a VM: its owner's or its owners' where `accounts` says so, and of those it is
    /// shared with. Who is disabled is left out. Oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ssh_key_list_of_vm(&mut self, vm: VmId, accounts: bool) -> Result<Vec<SshKey>, StoreError> {
        const SQL: &str = "\
            WITH may_use (id) AS (SELECT owner FROM vms WHERE id = $1 AND $2 = 1 \
                UNION SELECT principal FROM shares WHERE vm = $1), \
            people (id) AS (SELECT id FROM may_use \
                UNION SELECT user_id FROM members WHERE team IN (SELECT id FROM may_use)) \
            SELECT ssh_keys.* FROM ssh_keys JOIN principals ON principals.id = ssh_keys.user_id \
            WHERE ssh_keys.user_id IN (SELECT id FROM people) AND principals.disabled = 0 \
            ORDER BY ssh_keys.added_at, ssh_keys.user_id, ssh_keys.fingerprint";
        let rows = query(SQL)
            .bind(vm.to_string())
            .bind(i64::from(accounts))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the keys of a VM's people"))?;
        rows.iter().map(ssh_key).collect()
    }
}

impl Write {
    /// Keeps a user's key. The same key again changes its line only, which may have another comment.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn ssh_key_put(&mut self, key: &SshKey) -> Result<(), StoreError> {
        query(
            "INSERT INTO ssh_keys (user_id, fingerprint, line, added_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (user_id, fingerprint) DO UPDATE SET line = excluded.line",
        )
        .bind(key.user.to_string())
        .bind(key.key.fingerprint())
        .bind(key.key.as_str())
        .bind(key.added_at.as_millisecond())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep a user's key"))?;
        Ok(())
    }

    /// Forgets a user's key; gives whether there was one.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn ssh_key_delete(&mut self, user: UserId, fingerprint: &str) -> Result<bool, StoreError> {
        let done = query("DELETE FROM ssh_keys WHERE user_id = $1 AND fingerprint = $2")
            .bind(user.to_string())
            .bind(fingerprint)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget a user's key"))?;
        Ok(done > 0)
    }
}

fn ssh_key(row: &Row) -> Result<SshKey, StoreError> {
    Ok(SshKey {
        user: row::parsed(row, "user_id")?,
        key: row::parsed(row, "line")?,
        added_at: row::time(row, "added_at")?,
    })
}
