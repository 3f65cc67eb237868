//! The way to the database: statements with their parameters, and the rows that come back.
//!
//! A statement runs on the thread of whoever asks, which takes some microseconds: what it reads lies in memory. To hand
//! it to a thread of its own, and its answer back, takes several times as long, and the whole of a change has a dozen of
//! them while all others wait for their turn. What may take long goes through [`elsewhere`]: a commit, which waits for the
//! disk, and what reads whole tables.
//!
//! What always holds: a statement that began is done or has failed before anything else happens on its connection; nothing
//! goes on behind a caller that went away.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection as Sqlite, ErrorCode, OpenFlags, Statement};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop::consume_budget;

/// Statements that a connection keeps prepared; there are about as many in this room.
const PREPARED: usize = 200;

/// How long a statement waits for a lock that somebody outside (a backup tool, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that a connection keeps in memory, in KiB.
const PAGES_KIB: i64 = 8 << 10;

/// What the database answers in the place of rows.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A statement names a parameter that it was not given; the number is SQLite's own for it.
    #[error("parameter {0} of a statement was not given")]
    NoParameter(usize),
    /// A row was to be there.
    #[error("there is no row")]
    NoRow,
    /// Rows have another shape than this program knows.
    #[error("a row has no column {0}")]
    NoColumn(&'static str),
    /// A column holds a value of another kind.
    #[error("column {0} holds a value of another kind")]
    OtherKind(&'static str),
    /// The turn at the database did not come in time.
    #[error("the turn at the database did not come in time")]
    Late,
    /// The database is closed, as the program ends.
    #[error("the database is closed")]
    Closed,
}

impl SqlError {
    /// Whether somebody outside holds the lock that is needed.
    fn is_busy(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
    }
}

/// A connection. It is in the hands of one task at a time.
pub(crate) struct Connection(Sqlite);

impl Connection {
    /// Opens the database for reading and writing, made where it is absent.
    pub(crate) fn open(path: &Path) -> Result<Self, SqlError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Sqlite::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -PAGES_KIB)?;
        // Else each run of a statement on a table with a partial index is prepared anew, since its parameters might allow
        // that index (sqlite.org/c3ref/c_dbconfig_defensive.html, "ENABLE_QPSG").
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(Self(connection))
    }

    /// Opens it for looking, by an address of SQLite's (sqlite.org/uri.html).
    pub(crate) fn open_read_only(uri: &str) -> Result<Self, SqlError> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(Sqlite::open_with_flags(uri, flags)?))
    }

    /// Sets what a connection does.
    pub(crate) fn set(&self, pragma: &str, value: i64) -> Result<(), SqlError> {
        Ok(self.0.pragma_update(None, pragma, value)?)
    }

    /// Runs statements that have neither parameters nor rows.
    pub(crate) fn run(&self, statements: &str) -> Result<(), SqlError> {
        Ok(self.0.execute_batch(statements)?)
    }

    /// Runs such statements where waiting for a lock holds up no other task.
    pub(crate) fn run_when_free(&self, statements: &str) -> Result<(), SqlError> {
        self.0.busy_timeout(Duration::ZERO)?;
        let ran = self.run(statements);
        self.0.busy_timeout(BUSY_TIMEOUT)?;
        match ran {
            Err(error) if error.is_busy() => elsewhere(|| self.run(statements)),
            ran => ran,
        }
    }

    /// Empties as much of the log as nobody is in the way of, and gives how many pages there are in it.
    pub(crate) fn checkpoint(&self) -> Result<i64, SqlError> {
        let log = self
            .0
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get("log"));
        Ok(log?)
    }

    /// Whether it is in a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        !self.0.is_autocommit()
    }
}

/// Does what may take long: other tasks of this thread go on elsewhere meanwhile, where there is a thread to go to.
pub(crate) fn elsewhere<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// Begins a statement; its parameters are `$1` and so on.
pub(crate) fn query(sql: &'static str) -> Query {
    Query {
        sql: Sql::Fixed(sql),
        parameters: Vec::new(),
        is_long: false,
    }
}

/// A statement with its parameters.
pub(crate) struct Query {
    sql: Sql,
    parameters: Vec<Value>,
    is_long: bool,
}

enum Sql {
    Fixed(&'static str),
    Built(String),
}

impl Query {
    pub(crate) fn bind(mut self, value: impl Parameter) -> Self {
        self.parameters.push(value.value());
        self
    }

    /// Says that it may read a whole table.
    pub(crate) const fn long(mut self) -> Self {
        self.is_long = true;
        self
    }

    /// Runs it, and gives how many rows it has changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<usize, SqlError> {
        consume_budget().await;
        self.run(|sql, parameters| {
            let mut statement = connection.0.prepare_cached(sql)?;
            bind(&mut statement, &parameters)?;
            Ok(statement.raw_execute()?)
        })
    }

    pub(crate) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, SqlError> {
        consume_budget().await;
        self.run(|sql, parameters| rows(connection, sql, &parameters, usize::MAX))
    }

    pub(crate) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, SqlError> {
        consume_budget().await;
        self.run(|sql, parameters| Ok(rows(connection, sql, &parameters, 1)?.pop()))
    }

    pub(crate) async fn fetch_one(self, connection: &mut Connection) -> Result<Row, SqlError> {
        self.fetch_optional(connection).await?.ok_or(SqlError::NoRow)
    }

    fn run<T>(self, work: impl FnOnce(&str, Vec<Value>) -> Result<T, SqlError>) -> Result<T, SqlError> {
        let sql = match &self.sql {
            Sql::Fixed(sql) => sql,
            Sql::Built(sql) => sql.as_str(),
        };
        if self.is_long {
            elsewhere(|| work(sql, self.parameters))
        } else {
            work(sql, self.parameters)
        }
    }
}

/// Binds each parameter by its number. SQLite counts them in the order in which a statement names them first, which is
/// another (sqlite.org/c3ref/bind_blob.html).
fn bind(statement: &mut Statement<'_>, parameters: &[Value]) -> Result<(), SqlError> {
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place);
        let number = name.and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| parameters.get(number.checked_sub(1)?));
        statement.raw_bind_parameter(place, value.ok_or(SqlError::NoParameter(place))?)?;
    }
    Ok(())
}

fn rows(
    connection: &Connection,
    sql: &str,
    parameters: &[Value],
    limit: usize,
) -> Result<Vec<Row>, SqlError> {
    let mut statement = connection.0.prepare_cached(sql)?;
    let names: Arc<[Box<str>]> = statement.column_names().map(Box::from).collect();
    bind(&mut statement, parameters)?;
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while rows.len() < limit
        && let Some(row) = found.next()?
    {
        let values = (0..names.len()).map(|column| row.get(column));
        rows.push(Row {
            names: names.clone(),
            values: values.collect::<Result<_, _>>()?,
        });
    }
    Ok(rows)
}

/// A row as it was read.
pub(crate) struct Row {
    names: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn text(&self, column: &'static str) -> Result<&str, SqlError> {
        self.text_or_none(column)?.ok_or(SqlError::OtherKind(column))
    }

    pub(crate) fn text_or_none(&self, column: &'static str) -> Result<Option<&str>, SqlError> {
        match self.value(column)? {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            Value::Integer(_) | Value::Real(_) | Value::Blob(_) => Err(SqlError::OtherKind(column)),
        }
    }

    pub(crate) fn number(&self, column: &'static str) -> Result<i64, SqlError> {
        self.number_or_none(column)?.ok_or(SqlError::OtherKind(column))
    }

    pub(crate) fn number_or_none(&self, column: &'static str) -> Result<Option<i64>, SqlError> {
        match self.value(column)? {
            Value::Integer(number) => Ok(Some(*number)),
            Value::Null => Ok(None),
            Value::Text(_) | Value::Real(_) | Value::Blob(_) => Err(SqlError::OtherKind(column)),
        }
    }

    fn value(&self, column: &'static str) -> Result<&Value, SqlError> {
        let place = self.names.iter().position(|name| **name == *column);
        let value = place.and_then(|place| self.values.get(place));
        value.ok_or(SqlError::NoColumn(column))
    }
}

/// What a parameter may be.
pub(crate) trait Parameter {
    fn value(self) -> Value;
}

impl Parameter for i64 {
    fn value(self) -> Value {
        Value::Integer(self)
    }
}

impl Parameter for String {
    fn value(self) -> Value {
        Value::Text(self)
    }
}

impl Parameter for &str {
    fn value(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Parameter for &String {
    fn value(self) -> Value {
        Value::Text(self.clone())
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn value(self) -> Value {
        self.map_or(Value::Null, Parameter::value)
    }
}

/// A statement whose text depends on what it is asked for.
pub(crate) struct Builder {
    sql: String,
    parameters: Vec<Value>,
}

impl Builder {
    pub(crate) fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            parameters: Vec::new(),
        }
    }

    /// More of its text. What comes from outside goes through [`Builder::push_bind`].
    pub(crate) fn push(&mut self, sql: impl Display) -> &mut Self {
        // Writing to a text cannot fail.
        let _ = write!(self.sql, "{sql}");
        self
    }

    /// A parameter in this place.
    pub(crate) fn push_bind(&mut self, value: impl Parameter) -> &mut Self {
        self.parameters.push(value.value());
        let number = self.parameters.len();
        self.push(format_args!("${number}"))
    }

    /// Parameters with commas between them.
    pub(crate) fn push_list<T: Parameter>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        for (place, value) in values.into_iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            self.push_bind(value);
        }
        self
    }

    pub(crate) fn build(self) -> Query {
        Query {
            sql: Sql::Built(self.sql),
            parameters: self.parameters,
            is_long: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn open() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(&directory.path().join("a.db")).unwrap();
        (directory, connection)
    }

    #[tokio::test]
    async fn parameters_are_bound_by_their_numbers() {
        let (_directory, mut connection) = open();
        let both = query("SELECT $2 AS second, $1 AS first, $2 AS again")
            .bind("one")
            .bind(2)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(both.text("first").unwrap(), "one");
        assert_eq!(both.number("second").unwrap(), 2);
        assert_eq!(both.number("again").unwrap(), 2);
        let missing = query("SELECT $2 AS second")
            .bind("one")
            .fetch_all(&mut connection)
            .await;
        assert!(
            matches!(missing, Err(SqlError::NoParameter(1))),
            "{:?}",
            missing.err()
        );
    }

    #[tokio::test]
    async fn a_statement_stays_prepared_whatever_its_parameters_are() {
        const SQL: &str = "SELECT id FROM vms WHERE id = $1 AND gone = $2";
        let (_directory, mut connection) = open();
        let tables = "CREATE TABLE vms (id TEXT, gone INTEGER); CREATE INDEX here ON vms (id) WHERE gone = 0";
        connection.run(tables).unwrap();
        for number in 0..3 {
            let one = query(SQL).bind("one").bind(number);
            one.fetch_all(&mut connection).await.unwrap();
        }
        let statement = connection.0.prepare_cached(SQL).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 3);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    #[tokio::test]
    async fn a_row_says_what_it_is_not() {
        let (_directory, mut connection) = open();
        let row = query("SELECT 1 AS number")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(matches!(row.text("number"), Err(SqlError::OtherKind("number"))));
        assert!(matches!(row.number("other"), Err(SqlError::NoColumn("other"))));
    }
}
