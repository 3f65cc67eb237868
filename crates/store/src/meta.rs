//! Facts of the installation.

use model::InstallationId;

use crate::{Read, StoreError, Write, row};

impl Read {
    /// The installation's id, once it was drawn.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn installation_fetch(&mut self) -> Result<Option<InstallationId>, StoreError> {
        let found = sqlx::query("SELECT value FROM meta WHERE name = 'installation'")
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read the installation's id"))?;
        found.map(|row| row::parsed(&row, "value")).transpose()
    }
}

impl Write {
    /// Keeps the installation's id.
    ///
    /// # Errors
    /// It was drawn before, or the database refuses.
    pub async fn installation_insert(&mut self, id: InstallationId) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (name, value) VALUES ('installation', $1)")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep the installation's id"))?;
        Ok(())
    }

    /// Draws the next numbers of a counter, from 1, and gives the last of them. Its row stays locked until the commit, so
    /// numbers rise in the order of commits.
    ///
    /// # Errors
    /// The database refuses.
    pub(crate) async fn counter_draw(&mut self, name: &'static str, many: usize) -> Result<u64, StoreError> {
        let drawn = sqlx::query(
            "INSERT INTO counters (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value",
        )
        .bind(name)
        .bind(row::keep("value", many as u64)?)
        .fetch_one(self.connection())
        .await
        .map_err(StoreError::sql("draw the next number"))?;
        row::number(&drawn, "value")
    }
}
