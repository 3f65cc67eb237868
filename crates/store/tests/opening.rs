//! Opening: rights, the lock, the schema's history, and what is said when something is in the way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail like tests, and say why they skip"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::InstallationId;
use rusqlite::Connection;
use store::{Host, SqlError, Store, StoreError};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state").join("pitwall.db");
    (directory, path)
}

fn by_hand(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn every_file_is_private() {
    let (_directory, path) = place();
    let store = Store::open(&path).await.unwrap();
    let mut write = store.write().await.unwrap();
    write
        .installation_insert(InstallationId::from_random([1; 16]))
        .await
        .unwrap();
    write.commit().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(files.len() >= 3, "database, log and lock: {files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_second_program_is_refused_until_the_first_has_ended() {
    let (_directory, path) = place();
    let store = Store::open(&path).await.unwrap();
    let refused = Store::open(&path).await.err().unwrap();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused:?}");
    drop(store);
    assert!(Store::open(&path).await.is_ok());
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let (_directory, path) = place();
    Store::open(&path).await.unwrap().close().await;
    by_hand(
        &path,
        "INSERT INTO schema_changes (name, position) VALUES ('2031-01-01-moon', 99)",
    );
    let refused = Store::open(&path).await.err().unwrap();
    assert!(
        matches!(&refused, StoreError::Newer { migration, .. } if migration == "2031-01-01-moon"),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("newer pitwall"), "{refused}");
}

#[tokio::test]
async fn what_is_no_database_is_an_error_and_stays_as_it_is() {
    let (_directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(
        &path,
        "a letter, and not a short one at that; it fills more than one line".repeat(20),
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(Store::open(&path).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_full_disk_says_so_and_keeps_what_was() {
    let (_directory, path) = place();
    let store = Store::open(&path).await.unwrap();
    let mut write = store.write().await.unwrap();
    write
        .installation_insert(InstallationId::from_random([1; 16]))
        .await
        .unwrap();
    write.commit().await.unwrap();
    store.close().await;
    drop(store);
    // The database may not grow any more: what SQLite meets on a full disk.
    let error = fill(&path).await;
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let store = Store::open(&path).await.unwrap();
    let kept = store.read().await.unwrap().installation_fetch().await.unwrap();
    assert_eq!(kept, Some(InstallationId::from_random([1; 16])));
}

/// Writes large rows into a file system of 2 MiB until it is full; without the right to mount one, into a database
/// whose size is capped.
async fn fill(path: &Path) -> StoreError {
    let directory = path.parent().unwrap();
    let small = directory.join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&small)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI can mount");
        println!("skipped: mounting a small file system needs root");
        return StoreError::Full {
            operation: "be skipped",
            source: SqlError::Closed.into(),
        };
    }
    let error = fill_here(&small.join("pitwall.db")).await;
    let unmounted = std::process::Command::new("umount").arg(&small).status();
    assert!(unmounted.unwrap().success());
    error
}

async fn fill_here(path: &Path) -> StoreError {
    let store = Store::open(path).await.unwrap();
    for byte in 0..=255 {
        let mut write = store.write().await.unwrap();
        let written = match write.host_put(&large_host(byte)).await {
            Ok(()) => write.commit().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            writes_again_with_room(&store, path).await;
            store.close().await;
            return error;
        }
    }
    panic!("2 MiB hold 16 MiB")
}

/// The store that met the full disk goes on as soon as there is room.
async fn writes_again_with_room(store: &Store, path: &Path) {
    let small = path.parent().unwrap();
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=8m"])
        .arg(small)
        .status();
    assert!(grown.unwrap().success());
    let mut write = store.write().await.unwrap();
    write
        .installation_insert(InstallationId::from_random([2; 16]))
        .await
        .unwrap();
    write.commit().await.unwrap();
}

fn large_host(byte: u8) -> Host {
    Host {
        id: model::HostId::from_random([byte; 16]),
        name: "box".parse().unwrap(),
        version: "x".repeat(64 << 10),
        installation: None,
        silent: false,
        first_report_at: Timestamp::UNIX_EPOCH,
        last_report_at: Timestamp::UNIX_EPOCH,
        report: (0, 0),
        plan_number: 0,
        plan_content: None,
        accepted_plan: 0,
        refused: None,
        capacity: None,
        images: vec![],
        features: [].into(),
    }
}

/// `schema.sql` is what people read; the history is what is run. Set `UPDATE_GOLDEN=1` to write the file anew.
#[tokio::test]
async fn replaying_the_history_gives_the_schema_that_people_read() {
    let (_directory, path) = place();
    Store::open(&path).await.unwrap().close().await;
    let replayed = schema(&path);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.sql");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &replayed).unwrap();
    }
    assert_eq!(replayed, std::fs::read_to_string(&file).unwrap());
    // And the file by itself is a schema, the same one.
    let fresh = path.with_file_name("fresh.db");
    by_hand(&fresh, include_str!("../schema.sql"));
    assert_eq!(schema(&fresh), replayed);
    // A second opening changes nothing.
    Store::open(&path).await.unwrap().close().await;
    assert_eq!(schema(&path), replayed);
}

fn schema(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name")
        .unwrap();
    let statements = statement.query_map([], |row| row.get::<_, String>("sql"));
    statements
        .unwrap()
        .map(|statement| statement.unwrap() + ";\n\n")
        .collect()
}
