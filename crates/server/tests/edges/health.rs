//! `/healthz` and `/readyz`: what they tell is tried.

use std::path::Path;
use std::process::Command;

use server::{Door, Edges};

use crate::served::{Served, until};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_a_host_reports() {
    let served = Served::with(Edges::default()).await;
    assert_eq!(served.get("/healthz").await.status, 200);
    let answer = served.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "unavailable"),
        "{answer:?}"
    );
    assert!(answer.body.contains("no host has reported yet"), "{answer:?}");
    served.host_reports().await;
    until("it is ready", async || served.get("/readyz").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_change_shows() {
    let served = Served::with(Edges::default()).await;
    served.host_reports().await;
    until("it is ready", async || served.get("/readyz").await.status == 200).await;
    let held = served.store.write().await.unwrap();
    until("it is not", async || {
        let answer = served.get("/readyz").await;
        answer.status == 503 && answer.body.contains("has taken no change")
    })
    .await;
    assert_eq!(
        served.get("/healthz").await.status,
        200,
        "the process answers all the same"
    );
    drop(held);
    until("it is ready again", async || {
        served.get("/readyz").await.status == 200
    })
    .await;
}

/// A file system of its own that is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_shows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "this needs root"
        );
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let (database, filler) = (folder.path().join("pitwall.db"), folder.path().join("filler"));
    let keeper = tempfile::tempdir().unwrap();
    let served = Served::over(&database, keeper, Door::from).await;
    served.host_reports().await;
    until("it is ready", async || served.get("/readyz").await.status == 200).await;
    // Ends where there is no space left.
    assert!(std::fs::write(&filler, vec![1; 64 << 20]).is_err());
    until("it is not", async || {
        let answer = served.get("/readyz").await;
        answer.status == 503 && answer.body.contains("disk is full")
    })
    .await;
    std::fs::remove_file(&filler).unwrap();
    until("it is ready again", async || {
        served.get("/readyz").await.status == 200
    })
    .await;
}

struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(place: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(place)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(place))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the store closes its files after this.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
