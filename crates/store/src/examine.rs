//! Looking at a database without opening it for use: nothing is made, locked or brought up to date.

use std::path::Path;

use crate::sql::{Connection, query};
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
    let connected = Connection::open_read_only(&address(path, !log.exists()));
    let mut connection = connected.map_err(StoreError::sql("open the database for reading"))?;
    let applied = migrate::applied(&mut connection).await?;
    Ok(Examined {
        missing: migrate::missing(&applied),
        unknown: migrate::unknown(&applied).cloned(),
        newest: applied.into_iter().last(),
        damage: damage(&mut connection).await?,
    })
}

/// SQLite's address of a file (sqlite.org/uri.html).
fn address(path: &Path, immutable: bool) -> String {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                address.push(char::from(*byte))
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    if immutable {
        address.push_str("?immutable=1");
    }
    address
}

/// SQLite's own look at every page (sqlite.org/pragma.html, "quick_check"); it says `ok` or what is wrong.
async fn damage(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    let failed = StoreError::sql("check the database");
    let row = query("PRAGMA quick_check(1)")
        .long()
        .fetch_one(connection)
        .await
        .map_err(&failed)?;
    let said = row.text("quick_check").map_err(&failed)?;
    Ok(Some(said.to_owned()).filter(|said| said != "ok"))
}
