//! A row that is written for no other reason than to see whether that goes.

use jiff::Timestamp;

use crate::sql::query;
use crate::{StoreError, Write};

impl Write {
    /// Writes down when it was tried last.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn probe_put(&mut self, at: Timestamp) -> Result<(), StoreError> {
        query(
            "INSERT INTO meta (name, value) VALUES ('probed_at', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(at.to_string())
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("write at all"))?;
        Ok(())
    }
}
