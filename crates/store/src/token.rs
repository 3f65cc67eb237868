//! API tokens. Only their digest is kept, so the database gives nobody a way in.

use jiff::Timestamp;
use model::{Digest, TokenId};
use sqlx::sqlite::SqliteRow;

use crate::{Read, StoreError, Write, row};

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public half.
    pub id: TokenId,
    /// What it is for, in a word.
    pub name: String,
    /// The SHA-256 of its text.
    pub digest: Digest,
    /// When it was given out.
    pub created_at: Timestamp,
}

impl Read {
    /// The token with a digest.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_fetch_by_digest(&mut self, digest: Digest) -> Result<Option<Token>, StoreError> {
        let found = sqlx::query("SELECT * FROM tokens WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::sql("read a token"))?;
        found.as_ref().map(token).transpose()
    }

    /// The tokens of a name, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_list_by_name(&mut self, name: &str) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens WHERE name = $1 ORDER BY created_at, id")
            .bind(name.to_owned())
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::sql("read the tokens of a name"))?;
        rows.iter().map(token).collect()
    }
}

impl Write {
    /// Keeps a new token.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_insert(&mut self, token: &Token) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO tokens (id, name, digest, created_at) VALUES ($1, $2, $3, $4)")
            .bind(token.id.to_string())
            .bind(&token.name)
            .bind(token.digest.to_string())
            .bind(token.created_at.as_millisecond())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("keep a token"))?;
        Ok(())
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_delete(&mut self, id: TokenId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tokens WHERE id = $1")
            .bind(id.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::sql("revoke a token"))?;
        Ok(())
    }
}

fn token(row: &SqliteRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: row::parsed(row, "id")?,
        name: row::text(row, "name")?,
        digest: row::parsed(row, "digest")?,
        created_at: row::time(row, "created_at")?,
    })
}
