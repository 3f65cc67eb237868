//! The audit.

use super::{Client, ClientError};
use crate::audit::LIST;
use crate::{AuditList, AuditQuery};

impl Client {
    /// What was done and refused, newest first: a page of it.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn audit_list(&self, query: &AuditQuery) -> Result<AuditList, ClientError> {
        let request = self.request(&LIST, &[])?;
        self.answer(request.query(query)).await
    }
}
