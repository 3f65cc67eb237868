//! Facts of the installation.

use model::{InstallationId, TokenId, UserId};

use crate::sql::query;
use crate::{Read, StoreError, Write, row};

/// The user whose token lies in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalAdmin {
    /// The user.
    pub user: Option<UserId>,
    /// The token.
    pub token: Option<TokenId>,
}

impl Read {
    /// The installation's id, once it was drawn.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn installation_fetch(&mut self) -> Result<Option<InstallationId>, StoreError> {
        let found = query("SELECT value FROM meta WHERE name = 'installation'")
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read the installation's id"))?;
        found.map(|row| row::parsed(&row, "value")).transpose()
    }

    /// The local admin and the token in its file, as far as they were made once; either may be gone by now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn local_admin_fetch(&mut self) -> Result<LocalAdmin, StoreError> {
        let rows = query("SELECT name, value FROM meta WHERE name IN ('admin', 'admin_token')")
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read who the local admin is"))?;
        let mut admin = LocalAdmin::default();
        for row in rows {
            match row::text(&row, "name")?.as_str() {
                "admin" => admin.user = Some(row::parsed(&row, "value")?),
                _ => admin.token = Some(row::parsed(&row, "value")?),
            }
        }
        Ok(admin)
    }
}

impl Write {
    /// Keeps the installation's id.
    ///
    /// # Errors
    /// It was drawn before, or the database refuses.
    pub async fn installation_insert(&mut self, id: InstallationId) -> Result<(), StoreError> {
        query("INSERT INTO meta (name, value) VALUES ('installation', $1)")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep the installation's id"))?;
        Ok(())
    }

    /// Keeps who the local admin is.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn local_admin_put(&mut self, user: UserId) -> Result<(), StoreError> {
        self.meta_put("admin", &user.to_string()).await
    }

    /// Keeps which token lies in the local admin's file.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn admin_token_put(&mut self, token: TokenId) -> Result<(), StoreError> {
        self.meta_put("admin_token", &token.to_string()).await
    }

    async fn meta_put(&mut self, name: &'static str, value: &str) -> Result<(), StoreError> {
        query(
            "INSERT INTO meta (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep a fact of the installation"))?;
        Ok(())
    }

    /// Draws the next numbers of a counter, from 1, and gives the first of them. Its row stays locked until the commit, so
    /// numbers rise in the order of commits.
    pub(crate) async fn counter_draw(&mut self, name: &'static str, many: usize) -> Result<u64, StoreError> {
        const SQL: &str = "INSERT INTO counters (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value";
        let drawn = query(SQL)
            .bind(name)
            .bind(row::keep("value", many as u64)?)
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::sql("draw the next number"))?;
        Ok(row::number(&drawn, "value")? + 1 - many as u64)
    }
}
