//! What the memory could not do. An error names the operation; its source names the cause.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::sql::SqlError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the memory could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file or its directory cannot be made or opened.
    #[error("cannot prepare the database {}", path.display())]
    Prepare {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another program holds the database.
    #[error(
        "the database {} is in use by another pitwall; stop that one, or give this one a state directory of its own",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer program has changed the database.
    #[error(
        "the database {} was written by a newer pitwall (it has the change {migration:?}); start that version or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The newest change that this program does not know.
        migration: String,
    },
    /// No space is left where the database lies.
    #[error("cannot {operation}: no space is left for the database; free some on its disk and try again")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Arc<SqlError>,
    },
    /// Another writer did not finish in time.
    #[error("cannot {operation}: the database stayed locked for too long")]
    Busy {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Arc<SqlError>,
    },
    /// The database refused.
    #[error("cannot {operation}")]
    Sql {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Arc<SqlError>,
    },
    /// A row holds what it cannot hold.
    #[error("column {column} of a row holds something it cannot hold")]
    Damaged {
        /// The column.
        column: &'static str,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// A value cannot be kept.
    #[error("the value for column {column} cannot be kept")]
    Unkeepable {
        /// The column.
        column: &'static str,
        /// The cause.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Makes the error of an operation from the database's own.
    pub(crate) fn sql(operation: &'static str) -> impl Fn(SqlError) -> Self {
        move |source| Self::shared(operation, Arc::new(source))
    }

    /// The same from an error that several operations met together.
    pub(crate) fn shared(operation: &'static str, source: Arc<SqlError>) -> Self {
        match code_of(&source) {
            Some(ErrorCode::DiskFull) => Self::Full { operation, source },
            Some(ErrorCode::DatabaseBusy) => Self::Busy { operation, source },
            _ if matches!(*source, SqlError::Late) => Self::Busy { operation, source },
            _ => Self::Sql { operation, source },
        }
    }
}

/// SQLite's primary result code (sqlite.org/rescode.html).
fn code_of(error: &SqlError) -> Option<ErrorCode> {
    match error {
        SqlError::Sqlite(error) => error.sqlite_error_code(),
        SqlError::NoParameter(_)
        | SqlError::NoRow
        | SqlError::NoColumn(_)
        | SqlError::OtherKind(_)
        | SqlError::Late
        | SqlError::Closed => None,
    }
}
