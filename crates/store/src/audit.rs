//! Who did what. An entry is written in the transaction of its change, and outlives what it speaks of.

use std::net::IpAddr;

use jiff::Timestamp;
use model::{PrincipalName, RequestId, TokenId, UserId};

use serde::Serialize;

use crate::sql::{Builder, Row, query};
use crate::{Read, StoreError, Write, row};

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
    pub request: Option<RequestId>,
    /// What, as the operation's stable text form.
    pub operation: &'static str,
    /// To what: an id, or what was given in its place.
    pub target: Option<String>,
    /// `ok`, or the code of the refusal.
    pub outcome: &'static str,
}

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the order of commits, from 1.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who, where that is known.
    pub user: Option<UserId>,
    /// That user's name then.
    pub user_name: Option<PrincipalName>,
    /// With which token.
    pub token: Option<TokenId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request: Option<RequestId>,
    /// What.
    pub operation: String,
    /// To what.
    pub target: Option<String>,
    /// `ok`, or the code of the refusal.
    pub outcome: String,
}

/// Which entries are wanted; what is `None` is no matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of one user.
    pub user: Option<UserId>,
    /// Of one operation.
    pub operation: Option<String>,
    /// About one thing.
    pub target: Option<String>,
    /// With one outcome.
    pub outcome: Option<String>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// What tells this filter from others.
    pub fn identity(&self) -> impl Serialize + use<> {
        (
            self.user,
            self.operation.clone(),
            self.target.clone(),
            self.outcome.clone(),
            self.since.map(Timestamp::as_millisecond),
            self.until.map(Timestamp::as_millisecond),
        )
    }
}

impl Read {
    /// Up to `limit` entries before number `before`, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn audit_list(
        &mut self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut query = Builder::new("SELECT * FROM audit WHERE sequence < ");
        query.push_bind(before.map_or(Ok(i64::MAX), |before| row::keep("sequence", before))?);
        let texts = [
            (" AND user_id = ", filter.user.map(|user| user.to_string())),
            (" AND operation = ", filter.operation.clone()),
            (" AND target = ", filter.target.clone()),
            (" AND outcome = ", filter.outcome.clone()),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
        for (condition, time) in [(" AND at >= ", filter.since), (" AND at < ", filter.until)] {
            if let Some(time) = time {
                query.push(condition).push_bind(time.as_millisecond());
            }
        }
        query
            .push(" ORDER BY sequence DESC LIMIT ")
            .push_bind(i64::from(limit));
        let rows = query
            .build()
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the audit"))?;
        rows.iter().map(entry).collect()
    }

    /// The number up to which entries are due to be forgotten: those from before a time; among the oldest so many, so that
    /// it costs the same however many are kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn audit_due(&mut self, before: Timestamp, at_once: u32) -> Result<Option<u64>, StoreError> {
        let rows = query("SELECT sequence, at FROM audit ORDER BY sequence LIMIT $1")
            .bind(i64::from(at_once))
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the oldest audit entries"))?;
        row::last_due(&rows, |_, at| at < before)
    }
}

impl Write {
    /// Forgets the entries up to a number.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn audit_prune(&mut self, last: u64) -> Result<(), StoreError> {
        query("DELETE FROM audit WHERE sequence <= $1")
            .bind(row::keep("sequence", last)?)
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget old audit entries"))?;
        Ok(())
    }

    /// Keeps entries in their order, under the numbers from this one on.
    pub(crate) async fn audit_insert(
        &mut self,
        first: u64,
        entries: &[NewAuditEntry],
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit (sequence, at, user_id, user_name, token, address, request, operation, \
             target, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        for (sequence, entry) in (first..).zip(entries) {
            query(SQL)
                .bind(row::keep("sequence", sequence)?)
                .bind(entry.at.as_millisecond())
                .bind(entry.user.as_ref().map(|(id, _)| id.to_string()))
                .bind(entry.user.as_ref().map(|(_, name)| name.to_string()))
                .bind(entry.token.map(|id| id.to_string()))
                .bind(entry.address.map(|address| address.to_string()))
                .bind(entry.request.as_ref().map(ToString::to_string))
                .bind(entry.operation)
                .bind(entry.target.as_ref())
                .bind(entry.outcome)
                .execute(self.connection())
                .await
                .map_err(StoreError::sql("keep an audit entry"))?;
        }
        Ok(())
    }
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        sequence: row::number(row, "sequence")?,
        at: row::time(row, "at")?,
        user: row::parsed_or_none(row, "user_id")?,
        user_name: row::parsed_or_none(row, "user_name")?,
        token: row::parsed_or_none(row, "token")?,
        address: row::parsed_or_none(row, "address")?,
        request: row::parsed_or_none(row, "request")?,
        operation: row::text(row, "operation")?,
        target: row::text_or_none(row, "target")?,
        outcome: row::text(row, "outcome")?,
    })
}
