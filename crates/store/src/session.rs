//! The two kinds of transaction.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::StoreError;

/// One moment of the database: all questions are answered as of the first.
pub struct Read {
    transaction: Transaction<'static, Sqlite>,
}

impl Read {
    pub(crate) const fn new(transaction: Transaction<'static, Sqlite>) -> Self {
        Self { transaction }
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// The writer. There is one at a time; dropping it without [`Write::commit`] undoes all it did.
pub struct Write {
    read: Read,
}

impl Write {
    pub(crate) const fn new(transaction: Transaction<'static, Sqlite>) -> Self {
        Self {
            read: Read::new(transaction),
        }
    }

    /// Makes everything that was written through this transaction last.
    ///
    /// # Errors
    /// Nothing was kept: the disk is full, or the database refused.
    pub async fn commit(self) -> Result<(), StoreError> {
        let commit = self.read.transaction.commit();
        commit.await.map_err(StoreError::sql("commit a change"))
    }
}

impl Deref for Write {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.read
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Read {
        &mut self.read
    }
}
