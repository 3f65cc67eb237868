//! One-time codes to sign in with. Only their digest is kept, so the database gives nobody a way in.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{Digest, Scope, UserId};

use crate::sql::query;
use crate::{Read, StoreError, Write, row};

/// A code that was given out and not used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInCode {
    /// The SHA-256 of its text.
    pub digest: Digest,
    /// Who may sign in with it.
    pub user: UserId,
    /// From when on it is good for nothing.
    pub expires_at: Timestamp,
    /// The most that the token is good for which is made with it; `None` is whatever its user may.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The latest end of that token; `None` is as long as usual.
    pub token_expires_at: Option<Timestamp>,
}

impl Read {
    /// The code with a digest.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sign_in_code_fetch(&mut self, digest: Digest) -> Result<Option<SignInCode>, StoreError> {
        let found = query("SELECT * FROM sign_in_codes WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a one-time code"))?;
        found
            .map(|row| {
                Ok(SignInCode {
                    digest: row::parsed(&row, "digest")?,
                    user: row::parsed(&row, "user_id")?,
                    expires_at: row::time(&row, "expires_at")?,
                    scopes: row::document_or_none(&row, "scopes")?,
                    token_expires_at: row::time_or_none(&row, "token_expires_at")?,
                })
            })
            .transpose()
    }
}

impl Write {
    /// Keeps a code, in the place of those that its user had.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn sign_in_code_put(&mut self, code: &SignInCode) -> Result<(), StoreError> {
        self.sign_in_codes_delete(code.user).await?;
        let scopes = code.scopes.as_ref();
        let scopes = scopes
            .map(|scopes| row::keep_document("scopes", scopes))
            .transpose()?;
        query(
            "INSERT INTO sign_in_codes (digest, user_id, expires_at, scopes, token_expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(code.digest.to_string())
        .bind(code.user.to_string())
        .bind(code.expires_at.as_millisecond())
        .bind(scopes)
        .bind(code.token_expires_at.map(Timestamp::as_millisecond))
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep a one-time code"))?;
        Ok(())
    }

    /// Forgets the codes of a user.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn sign_in_codes_delete(&mut self, user: UserId) -> Result<(), StoreError> {
        query("DELETE FROM sign_in_codes WHERE user_id = $1")
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("forget the one-time codes of a user"))?;
        Ok(())
    }
}
