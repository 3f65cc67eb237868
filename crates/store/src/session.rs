//! The two kinds of transaction.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::StoreError;
use crate::turn::Turn;

/// One moment of the database: all questions are answered as of the first. From [`crate::Store::glance`], each as of its
/// own.
pub struct Read {
    access: Access,
}

/// What the questions go through.
enum Access {
    Moment(Transaction<'static, Sqlite>),
    /// In no transaction: each question is one of its own.
    Glance(PoolConnection<Sqlite>),
    Turn(Turn),
}

impl Read {
    pub(crate) const fn new(moment: Transaction<'static, Sqlite>) -> Self {
        Self {
            access: Access::Moment(moment),
        }
    }

    pub(crate) const fn glance(reader: PoolConnection<Sqlite>) -> Self {
        Self {
            access: Access::Glance(reader),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        match &mut self.access {
            Access::Moment(moment) => moment,
            Access::Glance(reader) => reader,
            Access::Turn(turn) => turn.connection(),
        }
    }
}

/// The writer. There is one at a time; dropping it without [`Write::commit`] undoes all it did.
pub struct Write {
    read: Read,
}

impl Write {
    pub(crate) const fn new(turn: Turn) -> Self {
        Self {
            read: Read {
                access: Access::Turn(turn),
            },
        }
    }

    /// Makes everything that was written through this transaction last. Changes that are ready at the same time share
    /// one commit, and none is answered before that.
    ///
    /// # Errors
    /// Nothing was kept: the disk is full, or the database refused.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.read.access {
            Access::Turn(turn) => turn.commit().await,
            Access::Moment(moment) => moment.commit().await.map_err(StoreError::sql("end to read")),
            Access::Glance(_) => Ok(()),
        }
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
