//! Secrets of VMs. Whoever reads one hands it on and keeps no copy.

use model::{RegistryCredentials, SecretRef, UserId, VmId};

use crate::sql::query;
use crate::{Read, StoreError, Write, row};

impl Read {
    /// A VM's credentials in this version.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn secret_fetch(
        &mut self,
        vm: VmId,
        secret: SecretRef,
    ) -> Result<Option<RegistryCredentials>, StoreError> {
        let found = query("SELECT data FROM secrets WHERE id = $1 AND vm = $2 AND version = $3")
            .bind(secret.id.to_string())
            .bind(vm.to_string())
            .bind(row::keep("version", secret.version)?)
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a secret"))?;
        found.as_ref().map(|row| row::document(row, "data")).transpose()
    }

    /// Who presented the credentials that a VM has.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn secret_presenter_fetch(&mut self, vm: VmId) -> Result<Option<UserId>, StoreError> {
        let found = query("SELECT presented_by FROM secrets WHERE vm = $1")
            .bind(vm.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read who presented a secret"))?;
        found
            .as_ref()
            .map(|row| row::parsed(row, "presented_by"))
            .transpose()
    }
}

impl Write {
    /// Keeps a VM's credentials in this version; the one before is gone then.
    ///
    /// # Errors
    /// There is no such VM, the secret is another VM's, or the database refuses.
    pub async fn secret_put(
        &mut self,
        vm: VmId,
        secret: SecretRef,
        presented_by: UserId,
        credentials: &RegistryCredentials,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO secrets (id, vm, version, presented_by, data) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, presented_by = excluded.presented_by, \
             data = excluded.data";
        query(SQL)
            .bind(secret.id.to_string())
            .bind(vm.to_string())
            .bind(row::keep("version", secret.version)?)
            .bind(presented_by.to_string())
            .bind(row::keep_document("data", credentials)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a secret"))?;
        Ok(())
    }

    /// Forgets the credentials of a VM.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn secret_delete(&mut self, vm: VmId) -> Result<(), StoreError> {
        query("DELETE FROM secrets WHERE vm = $1")
            .bind(vm.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget a secret"))?;
        Ok(())
    }
}
