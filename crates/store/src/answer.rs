//! The answers to requests that carried an `Idempotency-Key`, kept so that the same request is answered the same and
//! done once.

use jiff::Timestamp;
use model::{Digest, UserId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, Write, row};

/// A request and how it was answered. User, method, path and key name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who asked.
    pub user: UserId,
    /// The HTTP method.
    pub method: String,
    /// The path, as it came.
    pub path: String,
    /// The key that the client drew.
    pub key: String,
    /// The digest of the query and of the body's values.
    pub body: Digest,
    /// The operation.
    pub operation: String,
    /// What it was done to, where that has an id.
    pub target: Option<String>,
    /// The answer as it was given, without secrets.
    pub answer: String,
    /// When.
    pub at: Timestamp,
}

impl Read {
    /// The answer that was given to a request, if that was after `since`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn answer_fetch(
        &mut self,
        user: UserId,
        (method, path, key): (&str, &str, &str),
        since: Timestamp,
    ) -> Result<Option<Answer>, StoreError> {
        const SQL: &str = "SELECT * FROM answers \
             WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND at > $5";
        let found = query(SQL)
            .bind(user.to_string())
            .bind(method)
            .bind(path)
            .bind(key)
            .bind(since.as_millisecond())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read an answer that was given"))?;
        found.as_ref().map(answer).transpose()
    }

    /// Whether any answer was given at a time or before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn answer_is_due(&mut self, until: Timestamp) -> Result<bool, StoreError> {
        let found = query("SELECT 1 AS one FROM answers WHERE at <= $1 LIMIT 1")
            .bind(until.as_millisecond())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("look for old answers"))?;
        Ok(found.is_some())
    }

    /// The users who have more answers than so many, or of more bytes.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn answer_users_beyond(&mut self, rows: u64, bytes: u64) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "SELECT user_id FROM answers GROUP BY user_id \
             HAVING COUNT(*) > $1 OR SUM(OCTET_LENGTH(answer)) > $2";
        let found = query(SQL)
            .bind(row::keep("answers", rows)?)
            .bind(row::keep("answers", bytes)?)
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("look for users with too many answers"))?;
        found.iter().map(|found| row::parsed(found, "user_id")).collect()
    }
}

impl Write {
    /// Keeps an answer, in the place of one that is too old to count.
    pub(crate) async fn answer_put(&mut self, answer: &Answer) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO answers (user_id, method, path, key, body, operation, target, answer, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (user_id, method, path, key) DO UPDATE \
             SET body = excluded.body, operation = excluded.operation, target = excluded.target, \
             answer = excluded.answer, at = excluded.at";
        query(KEEP)
            .bind(answer.user.to_string())
            .bind(&answer.method)
            .bind(&answer.path)
            .bind(&answer.key)
            .bind(answer.body.to_string())
            .bind(&answer.operation)
            .bind(answer.target.as_ref())
            .bind(&answer.answer)
            .bind(answer.at.as_millisecond())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep an answer"))?;
        Ok(())
    }

    /// Forgets up to so many answers that were given at a time or before, oldest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn answer_prune(&mut self, until: Timestamp, at_once: u32) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM answers WHERE (user_id, method, path, key) IN \
             (SELECT user_id, method, path, key FROM answers WHERE at <= $1 ORDER BY at LIMIT $2)";
        query(SQL)
            .bind(until.as_millisecond())
            .bind(i64::from(at_once))
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget old answers"))?;
        Ok(())
    }

    /// Forgets up to so many of the answers that a user was given, oldest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn answer_prune_of_user(&mut self, user: UserId, at_once: u32) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM answers WHERE (user_id, method, path, key) IN \
             (SELECT user_id, method, path, key FROM answers WHERE user_id = $1 ORDER BY at LIMIT $2)";
        query(SQL)
            .bind(user.to_string())
            .bind(i64::from(at_once))
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget the answers of a user"))?;
        Ok(())
    }
}

fn answer(row: &Row) -> Result<Answer, StoreError> {
    Ok(Answer {
        user: row::parsed(row, "user_id")?,
        method: row::text(row, "method")?,
        path: row::text(row, "path")?,
        key: row::text(row, "key")?,
        body: row::parsed(row, "body")?,
        operation: row::text(row, "operation")?,
        target: row::text_or_none(row, "target")?,
        answer: row::text(row, "answer")?,
        at: row::time(row, "at")?,
    })
}
