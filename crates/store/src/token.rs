//! API tokens. Only their digest is kept, so the database gives nobody a way in.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{Digest, Scope, TokenId, UserId};

use crate::sql::{Row, query};
use crate::{Read, StoreError, User, Write, row};

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public half.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// What it is for, in a word.
    pub name: String,
    /// The SHA-256 of its text.
    pub digest: Digest,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// When it was given out.
    pub created_at: Timestamp,
    /// From when on it is good for nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Tokens with their users, with a tail that says which.
macro_rules! with_user {
    ($tail:literal) => {
        concat!(
            "SELECT tokens.*, principals.name AS user_name, principals.role AS user_role, ",
            "principals.disabled AS user_disabled, principals.created_at AS user_created_at ",
            "FROM tokens JOIN principals ON principals.id = tokens.user_id ",
            $tail
        )
    };
}

impl Read {
    /// The token with a digest, together with its user.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_fetch_by_digest(
        &mut self,
        digest: Digest,
    ) -> Result<Option<(Token, User)>, StoreError> {
        let found = query(with_user!("WHERE tokens.digest = $1"))
            .bind(digest.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a token"))?;
        found.as_ref().map(token_with_user).transpose()
    }

    /// A user's token by its id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_fetch_of_user(
        &mut self,
        user: UserId,
        id: TokenId,
    ) -> Result<Option<Token>, StoreError> {
        let found = query("SELECT * FROM tokens WHERE user_id = $1 AND id = $2")
            .bind(user.to_string())
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a user's token"))?;
        found.as_ref().map(token).transpose()
    }

    /// A user's token by its id, together with the user as it is now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_fetch_with_user(
        &mut self,
        user: UserId,
        id: TokenId,
    ) -> Result<Option<(Token, User)>, StoreError> {
        let found = query(with_user!("WHERE tokens.user_id = $1 AND tokens.id = $2"))
            .bind(user.to_string())
            .bind(id.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a user's token and the user"))?;
        found.as_ref().map(token_with_user).transpose()
    }

    /// A user's tokens, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_list_of_user(&mut self, user: UserId) -> Result<Vec<Token>, StoreError> {
        let rows = query("SELECT * FROM tokens WHERE user_id = $1 ORDER BY created_at, id")
            .bind(user.to_string())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the tokens of a user"))?;
        rows.iter().map(token).collect()
    }
}

impl Write {
    /// Keeps a new token.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_insert(&mut self, token: &Token) -> Result<(), StoreError> {
        query(
            "INSERT INTO tokens (id, user_id, name, digest, scopes, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id.to_string())
        .bind(token.user.to_string())
        .bind(&token.name)
        .bind(token.digest.to_string())
        .bind(row::keep_document("scopes", &token.scopes)?)
        .bind(token.created_at.as_millisecond())
        .bind(token.expires_at.map(Timestamp::as_millisecond))
        .execute(self.connection())
        .await
        .map_err(StoreError::sql("keep a token"))?;
        Ok(())
    }

    /// Keeps when a token was used last. One that was revoked meanwhile is passed over.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_use_update(&mut self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        query("UPDATE tokens SET last_used_at = $1 WHERE id = $2")
            .bind(at.as_millisecond())
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep when a token was used"))?;
        Ok(())
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_delete(&mut self, id: TokenId) -> Result<(), StoreError> {
        query("DELETE FROM tokens WHERE id = $1")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("revoke a token"))?;
        Ok(())
    }
}

fn token_with_user(row: &Row) -> Result<(Token, User), StoreError> {
    let token = token(row)?;
    let user = User {
        id: token.user,
        name: row::parsed(row, "user_name")?,
        role: row::parsed(row, "user_role")?,
        disabled: row::flag(row, "user_disabled")?,
        created_at: row::time(row, "user_created_at")?,
    };
    Ok((token, user))
}

fn token(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: row::parsed(row, "id")?,
        user: row::parsed(row, "user_id")?,
        name: row::text(row, "name")?,
        digest: row::parsed(row, "digest")?,
        scopes: row::document(row, "scopes")?,
        created_at: row::time(row, "created_at")?,
        expires_at: row::time_or_none(row, "expires_at")?,
        last_used_at: row::time_or_none(row, "last_used_at")?,
    })
}
