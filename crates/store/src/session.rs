//! The two kinds of transaction.

use std::ops::{Deref, DerefMut};

use crate::StoreError;
use crate::readers::Reader;
use crate::sql::Connection;
use crate::turn::Turn;

/// One moment of the database: all questions are answered as of the first. From [`crate::Store::glance`], each as of its
/// own.
pub struct Read {
    access: Access,
}

/// What the questions go through.
enum Access {
    Reader(Reader),
    Turn(Turn),
}

impl Read {
    pub(crate) const fn new(reader: Reader) -> Self {
        Self {
            access: Access::Reader(reader),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        match &mut self.access {
            Access::Reader(reader) => reader.connection(),
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
            Access::Reader(_) => Ok(()),
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
