//! What lasts: the rights of the directories and of the files that hold secrets, and the database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::Examined;

use super::finding::{Finding, bad, note, well};
use super::fix::Fix;
use crate::config::Settings;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<_> = places(settings)
        .into_iter()
        .filter_map(|place| rights(&place, Rights::of(&place.path)?))
        .collect();
    if findings.is_empty() {
        findings.push(well(
            "rights",
            format!(
                "{}, {}: nobody but root may write, nor read secrets",
                settings.state.display(),
                settings.run.display()
            ),
        ));
    }
    findings.push(database(&settings.state.join("pitwall.db")).await);
    findings
}

/// A file or directory, and what others must not have of it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    what: &'static str,
    /// Rights that nobody but its owner may have.
    denied: u32,
    /// Whether it must be root's. The token may be given to whoever signs in with it.
    roots: bool,
}

/// What anybody else could do harm with.
const WRITE: u32 = 0o022;
const ANY: u32 = 0o077;

fn places(settings: &Settings) -> Vec<Place> {
    let state = &settings.state;
    let place = |path: PathBuf, what, denied, roots| Place {
        path,
        what,
        denied,
        roots,
    };
    vec![
        place(state.clone(), "state", WRITE, true),
        place(settings.run.clone(), "run", WRITE, true),
        place(state.join("images"), "images", WRITE, true),
        place(state.join("host"), "host memory", WRITE, true),
        place(settings.token_file(), "token", ANY, false),
        place(state.join("pitwall.db"), "database", ANY, true),
        place(state.join("pitwall.db-wal"), "database", ANY, true),
        place(state.join("pitwall.db-shm"), "database", ANY, true),
    ]
}

/// Who owns something and who may use it.
#[derive(Debug, Clone, Copy)]
struct Rights {
    uid: u32,
    mode: u32,
}

impl Rights {
    /// Those of what is there; what is not there is made right.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            uid: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        })
    }
}

/// Pure: what is wrong with them.
fn rights(place: &Place, rights: Rights) -> Option<Finding> {
    let path = place.path.display();
    if rights.mode & place.denied != 0 {
        let harm = if place.denied == ANY { "use" } else { "write to" };
        let mode = rights.mode & !place.denied;
        return Some(bad(
            place.what,
            format!("others may {harm} {path} (mode {:04o})", rights.mode),
            Fix::SetMode(place.path.clone(), mode),
        ));
    }
    (place.roots && rights.uid != 0).then(|| {
        bad(
            place.what,
            format!("{path} belongs to the user {}", rights.uid),
            format!("chown root {path}, after a look at what that user put there"),
        )
    })
}

async fn database(path: &Path) -> Finding {
    if !path.exists() {
        return well(
            "database",
            format!("{} is not there yet; pitwall up makes it", path.display()),
        );
    }
    match store::examine(path).await {
        Ok(examined) => judge(&examined, path),
        Err(error) => bad(
            "database",
            control::chain(&error),
            format!(
                "look at {}, or put a backup in its place (docs/recovery.md)",
                path.display()
            ),
        ),
    }
}

/// Pure: whether this program can use it.
fn judge(examined: &Examined, path: &Path) -> Finding {
    const WHAT: &str = "database";
    if let Some(damage) = &examined.damage {
        return bad(
            WHAT,
            format!("{} is damaged: {damage}", path.display()),
            "put a backup in its place (docs/recovery.md)",
        );
    }
    if let Some(unknown) = &examined.unknown {
        return bad(
            WHAT,
            format!(
                "{} has the change {unknown}, which only a newer pitwall knows",
                path.display()
            ),
            "start that version or a newer one",
        );
    }
    let newest = examined.newest.as_deref().unwrap_or("nothing");
    match examined.missing {
        0 => well(WHAT, format!("{}, schema {newest}", path.display())),
        missing => note(
            WHAT,
            format!(
                "{}, schema {newest}, {missing} changes behind this program",
                path.display()
            ),
            "pitwall up makes them; keep a copy of the file before",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_touch_is_told_and_mended() {
        let place = |denied, roots| Place {
            path: "/s/x".into(),
            what: "x",
            denied,
            roots,
        };
        let fix = |mode| Some(Some(Fix::SetMode("/s/x".into(), mode)));
        for (denied, roots, uid, mode, expected) in [
            (WRITE, true, 0, 0o755, None),
            (WRITE, true, 0, 0o775, fix(0o755)),
            (WRITE, true, 0, 0o777, fix(0o755)),
            (WRITE, true, 7, 0o700, Some(None)),
            (ANY, true, 0, 0o600, None),
            (ANY, true, 0, 0o640, fix(0o600)),
            (ANY, false, 1000, 0o600, None),
            (ANY, false, 1000, 0o604, fix(0o600)),
        ] {
            let found = rights(&place(denied, roots), Rights { uid, mode });
            assert_eq!(
                found.as_ref().map(|finding| finding.fix.clone()),
                expected,
                "{mode:o} of {uid}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_database_is_looked_at_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pitwall.db");
        assert!(database(&path).await.ok, "none yet");

        let store = store::Store::open(&path).await.unwrap();
        let beside_its_user = database(&path).await;
        assert!(
            beside_its_user.ok && beside_its_user.mend.is_none(),
            "{beside_its_user:?}"
        );
        store.close().await;
        drop(store);

        let before: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        let found = database(&path).await;
        assert!(found.ok && found.found.contains("schema 20"), "{found:?}");
        let after: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(before, after);

        fs::write(&path, b"this is no database").unwrap();
        let found = database(&path).await;
        assert!(!found.ok && found.mend.is_some(), "{found:?}");
    }

    #[test]
    fn a_database_is_damaged_newer_older_or_well() {
        let well = Examined {
            newest: Some("2026-11-22-first".to_owned()),
            missing: 0,
            unknown: None,
            damage: None,
        };
        let cases = [
            (well.clone(), true, false),
            (
                Examined {
                    missing: 2,
                    ..well.clone()
                },
                true,
                true,
            ),
            (
                Examined {
                    unknown: Some("2030".to_owned()),
                    ..well.clone()
                },
                false,
                true,
            ),
            (
                Examined {
                    damage: Some("page 3".to_owned()),
                    ..well
                },
                false,
                true,
            ),
        ];
        for (examined, ok, mend) in cases {
            let found = judge(&examined, Path::new("/s/pitwall.db"));
            assert_eq!((found.ok, found.mend.is_some()), (ok, mend), "{found:?}");
        }
    }
}
