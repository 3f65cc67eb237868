//! Secrets of VMs. Whoever reads one hands it on and keeps no copy.

use model::{RegistryCredentials, SecretRef, VmId};

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
        let found = sqlx::query("SELECT data FROM secrets WHERE id = $1 AND vm = $2 AND version = $3")
            .bind(secret.id.to_string())
            .bind(vm.to_string())
            .bind(row::keep("version", secret.version)?)
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a secret"))?;
        found.as_ref().map(|row| row::document(row, "data")).transpose()
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
        credentials: &RegistryCredentials,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO secrets (id, vm, version, data) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, data = excluded.data";
        sqlx::query(SQL)
            .bind(secret.id.to_string())
            .bind(vm.to_string())
            .bind(row::keep("version", secret.version)?)
            .bind(row::keep_document("data", credentials)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a secret"))?;
        Ok(())
    }
}
