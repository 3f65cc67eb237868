//! The schema's history: dated changes, applied in order, each in a transaction of its own with the row that says
//! so. `schema.sql` beside this file is the sum of them, for people to read; a test holds the two together.

use std::path::Path;

use crate::StoreError;
use crate::sql::{Connection, SqlError, query};

/// One dated change.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// Every change, oldest first. Entries are only added at the end; a released one is never edited.
const HISTORY: &[Migration] = &[
    Migration {
        name: "2026-11-22-first",
        sql: include_str!("migrations/2026-11-22-first.sql"),
    },
    Migration {
        name: "2026-11-22-vm-options",
        sql: include_str!("migrations/2026-11-22-vm-options.sql"),
    },
    Migration {
        name: "2026-11-22-registry-secrets",
        sql: include_str!("migrations/2026-11-22-registry-secrets.sql"),
    },
    Migration {
        name: "2026-11-22-people",
        sql: include_str!("migrations/2026-11-22-people.sql"),
    },
    Migration {
        name: "2026-11-22-lists",
        sql: include_str!("migrations/2026-11-22-lists.sql"),
    },
    Migration {
        name: "2026-11-22-time-to-live",
        sql: include_str!("migrations/2026-11-22-time-to-live.sql"),
    },
    Migration {
        name: "2026-11-22-event-audience",
        sql: include_str!("migrations/2026-11-22-event-audience.sql"),
    },
    Migration {
        name: "2026-11-22-booked",
        sql: include_str!("migrations/2026-11-22-booked.sql"),
    },
    Migration {
        name: "2026-11-22-held",
        sql: include_str!("migrations/2026-11-22-held.sql"),
    },
    Migration {
        name: "2026-11-22-planned",
        sql: include_str!("migrations/2026-11-22-planned.sql"),
    },
];

const CREATE_LIST: &str =
    "CREATE TABLE IF NOT EXISTS schema_changes (name TEXT PRIMARY KEY, position BIGINT NOT NULL)";

/// Applies what the database lacks.
pub(crate) async fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let list = connection.run(CREATE_LIST);
    list.map_err(StoreError::sql("make the list of schema changes"))?;
    let applied = applied(connection).await?;
    if let Some(unknown) = unknown(&applied) {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            migration: unknown.clone(),
        });
    }
    for (position, migration) in (1..).zip(HISTORY) {
        if !applied.iter().any(|name| name == migration.name) {
            apply(connection, migration, position).await?;
        }
    }
    Ok(())
}

/// The newest of these changes that this program does not know.
pub(crate) fn unknown(applied: &[String]) -> Option<&String> {
    let known = |name: &String| HISTORY.iter().any(|migration| migration.name == name);
    applied.iter().rev().find(|name| !known(name))
}

/// How many changes are not among these.
pub(crate) fn missing(applied: &[String]) -> usize {
    let lacks = |migration: &&Migration| applied.iter().all(|name| name != migration.name);
    HISTORY.iter().filter(lacks).count()
}

/// The changes that a database has, oldest first.
pub(crate) async fn applied(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let failed = StoreError::sql("read the list of schema changes");
    let rows = query("SELECT name FROM schema_changes ORDER BY position")
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    rows.iter()
        .map(|row| row.text("name").map(str::to_owned).map_err(&failed))
        .collect()
}

async fn apply(connection: &mut Connection, migration: &Migration, position: i64) -> Result<(), StoreError> {
    let applied = apply_in(connection, migration, position).await;
    if applied.is_err() && connection.is_in_transaction() {
        // What went wrong says more than why it could not be undone, which the program's end does as well.
        let _ = connection.run("ROLLBACK");
    }
    applied.map_err(StoreError::sql("change the schema"))
}

async fn apply_in(connection: &mut Connection, migration: &Migration, position: i64) -> Result<(), SqlError> {
    connection.run("BEGIN IMMEDIATE")?;
    connection.run(migration.sql)?;
    query("INSERT INTO schema_changes (name, position) VALUES ($1, $2)")
        .bind(migration.name)
        .bind(position)
        .execute(connection)
        .await?;
    connection.run("COMMIT")
}
