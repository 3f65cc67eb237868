//! Looking at a database without opening it for use: nothing is made, locked or brought up to date.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use crate::{StoreError, migrate};

/// What a database is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The newest change of its schema.
    pub newest: Option<String>,
    /// How many changes the next start makes.
    pub missing: usize,
    /// A change that only a newer program knows.
    pub unknown: Option<String>,
    /// What SQLite finds damaged, in its words.
    pub damage: Option<String>,
}

/// Looks at the database at `path`, in use or not.
///
/// # Errors
/// The file cannot be read, or is no database.
pub async fn examine(path: &Path) -> Result<Examined, StoreError> {
    let log = {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        std::path::PathBuf::from(name)
    };
    // Reading beside a log needs the files that SQLite shares with whoever writes. Without one, nobody writes, and no
    // file needs to be made for looking.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!log.exists());
    let connected = options.connect().await;
    let mut connection = connected.map_err(StoreError::sql("open the database for reading"))?;
    let applied = migrate::applied(&mut connection).await?;
    let examined = Examined {
        missing: migrate::missing(&applied),
        unknown: migrate::unknown(&applied).cloned(),
        newest: applied.into_iter().last(),
        damage: damage(&mut connection).await?,
    };
    // It was only read.
    let _ = connection.close().await;
    Ok(examined)
}

/// SQLite's own look at every page (sqlite.org/pragma.html, "quick_check"); it says `ok` or what is wrong.
async fn damage(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let failed = StoreError::sql("check the database");
    let row = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(&failed)?;
    let said: String = row.try_get(0).map_err(&failed)?;
    Ok(Some(said).filter(|said| said != "ok"))
}
