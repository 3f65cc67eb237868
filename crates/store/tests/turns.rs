//! The one writer: changes share a commit, and one that is dropped takes nothing of its neighbours with it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::VmId;
use store::{NewEvent, Record, Store};
use tempfile::TempDir;
use tokio::task::{JoinSet, yield_now};

const CHANGES: u8 = 40;

async fn open() -> (TempDir, PathBuf, Store) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pitwall.db");
    let store = Store::open(&path).await.unwrap();
    (directory, path, store)
}

fn event(number: u8) -> NewEvent {
    NewEvent {
        at: Timestamp::UNIX_EPOCH,
        kind: "changed",
        vm: VmId::from_random([number; 16]),
        generation: 1,
        data: "{}".to_owned(),
        audience: None,
    }
}

async fn kept(store: &Store) -> BTreeSet<VmId> {
    let events = store
        .read()
        .await
        .unwrap()
        .event_list(0, None, 256)
        .await
        .unwrap();
    events.into_iter().map(|event| event.vm).collect()
}

/// How many commits the write-ahead log holds: frames whose header has the size of the database then
/// (sqlite.org/fileformat2.html section 4.1).
fn commits(path: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = std::fs::read(name).unwrap();
    let frames = log.get(HEADER..).unwrap_or_default().chunks_exact(FRAME);
    frames.filter(|frame| frame.get(4..8) != Some(&[0; 4])).count()
}

/// Writes an event in a change of its own; gives it up where `keeps` is false.
async fn change(store: Store, number: u8, keeps: bool) {
    let mut write = store.write().await.unwrap();
    write.record(&happened(&[event(number)])).await.unwrap();
    if keeps {
        write.commit().await.unwrap();
    }
}

const fn happened(events: &[NewEvent]) -> Record<'_> {
    Record {
        audit: &[],
        events,
        answer: None,
    }
}

#[tokio::test]
async fn changes_that_wait_share_a_commit() {
    let (_directory, path, store) = open().await;
    let mut first = store.write().await.unwrap();
    first.record(&happened(&[event(0)])).await.unwrap();
    let before = commits(&path);
    let mut others = JoinSet::new();
    for number in 1..=CHANGES {
        others.spawn(change(store.clone(), number, true));
    }
    // On this one thread each of them is in the queue afterwards.
    yield_now().await;
    first.commit().await.unwrap();
    others.join_all().await;
    assert_eq!(kept(&store).await.len(), usize::from(CHANGES) + 1);
    let commits = commits(&path) - before;
    assert!((1..=3).contains(&commits), "{commits} commits");
}

#[tokio::test]
async fn what_is_dropped_takes_nothing_with_it() {
    let (_directory, _path, store) = open().await;
    let mut changes = JoinSet::new();
    for number in 0..CHANGES {
        changes.spawn(change(store.clone(), number, number % 3 != 0));
    }
    changes.join_all().await;
    let wanted: BTreeSet<VmId> = (0..CHANGES)
        .filter(|number| number % 3 != 0)
        .map(|number| event(number).vm)
        .collect();
    assert_eq!(kept(&store).await, wanted);
}

/// A client may hang up at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_the_queue_in_order() {
    let (_directory, _path, store) = open().await;
    let mut callers = JoinSet::new();
    for number in 0..=u8::MAX {
        let store = store.clone();
        callers.spawn(async move {
            let turns = u64::from(number) * 7;
            let limit = std::time::Duration::from_micros(turns * 40);
            let done = tokio::time::timeout(limit, change(store, number, true));
            done.await.is_ok().then_some(event(number).vm)
        });
    }
    let answered: BTreeSet<VmId> = callers.join_all().await.into_iter().flatten().collect();
    let last = event(7);
    let mut write = store.write().await.unwrap();
    write.record(&happened(&[last])).await.unwrap();
    write.commit().await.unwrap();
    let kept = kept(&store).await;
    assert!(kept.is_superset(&answered), "an answered change is not there");
}

#[tokio::test]
async fn nothing_is_seen_before_its_commit() {
    let (_directory, _path, store) = open().await;
    let mut write = store.write().await.unwrap();
    write.record(&happened(&[event(1)])).await.unwrap();
    assert_eq!(kept(&store).await, [].into());
    write.commit().await.unwrap();
    assert_eq!(kept(&store).await.len(), 1);
}

#[tokio::test]
async fn a_closed_database_is_written_no_more() {
    let (_directory, _path, store) = open().await;
    change(store.clone(), 1, true).await;
    store.close().await;
    assert!(store.write().await.is_err());
}

/// Whoever copies the file of a closed database has all of it.
#[tokio::test]
async fn a_closed_database_is_one_file() {
    for _ in 0..50 {
        let (directory, path, store) = open().await;
        change(store.clone(), 1, true).await;
        assert_eq!(kept(&store).await.len(), 1);
        store.close().await;
        let log = std::fs::read_dir(directory.path()).unwrap().find(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.as_encoded_bytes().ends_with(b"-wal")
        });
        assert!(log.is_none(), "there is a log still");
        assert_eq!(path.metadata().unwrap().len() % 4096, 0);
    }
}
