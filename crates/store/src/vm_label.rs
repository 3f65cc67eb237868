//! Labels: kept with the VM for those who read it, and in a table of their own for those who search by them.

use std::collections::BTreeMap;

use model::VmId;

use crate::sql::query;
use crate::{StoreError, Write, row};

impl Write {
    /// Gives a VM these labels in the place of those before.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn vm_labels_update(
        &mut self,
        vm: VmId,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let failed = StoreError::sql("label a VM");
        query("UPDATE vms SET labels = $1 WHERE id = $2")
            .bind(row::keep_document("labels", labels)?)
            .bind(vm.to_string())
            .execute(self.connection())
            .await
            .map_err(&failed)?;
        query("DELETE FROM vm_labels WHERE vm = $1")
            .bind(vm.to_string())
            .execute(self.connection())
            .await
            .map_err(&failed)?;
        self.vm_labels_insert(vm, labels).await
    }

    /// Makes a VM that has no labels be found by these.
    pub(crate) async fn vm_labels_insert(
        &mut self,
        vm: VmId,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        for (name, value) in labels {
            query("INSERT INTO vm_labels (vm, name, value) VALUES ($1, $2, $3)")
                .bind(vm.to_string())
                .bind(name)
                .bind(value)
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("label a VM"))?;
        }
        Ok(())
    }
}
