//! Who did what. An entry is written in the transaction of its change, and outlives what it speaks of.

use std::net::IpAddr;

use jiff::Timestamp;
use model::{PrincipalName, TokenId, UserId};

use crate::{StoreError, Write, row};

/// Something that somebody did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who, where that is known.
    pub user: Option<(UserId, PrincipalName)>,
    /// With which token.
    pub token: Option<TokenId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request: Option<String>,
    /// What, as the operation's stable text form.
    pub operation: &'static str,
    /// To what: an id, or what was given in its place.
    pub target: Option<String>,
    /// `ok`, or the code of the refusal.
    pub outcome: &'static str,
}

impl Write {
    /// Keeps an entry.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn audit_insert(&mut self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let sequence = self.counter_draw("audit").await?;
        sqlx::query(
            "INSERT INTO audit (sequence, at, user_id, user_name, token, address, request, operation, target, \
             outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(row::keep("sequence", sequence)?)
        .bind(entry.at.as_millisecond())
        .bind(entry.user.as_ref().map(|(id, _)| id.to_string()))
        .bind(entry.user.as_ref().map(|(_, name)| name.to_string()))
        .bind(entry.token.map(|id| id.to_string()))
        .bind(entry.address.map(|address| address.to_string()))
        .bind(entry.request.as_ref())
        .bind(entry.operation)
        .bind(entry.target.as_ref())
        .bind(entry.outcome)
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep an audit entry"))?;
        Ok(())
    }
}
