//! `pwctl cp`, both ways.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use super::{LIMIT, spawn, with_web};
use crate::cloud::Cloud;

async fn cp(cloud: &Cloud, words: &[&str]) -> (Option<i32>, String) {
    let ended = cloud.pwctl(&[&["cp"], words].concat()).await;
    (ended.code, ended.err)
}

async fn copied(cloud: &Cloud, words: &[&str]) {
    assert_eq!(cp(cloud, words).await, (Some(0), String::new()), "{words:?}");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_land_where_they_are_sent() {
    let cloud = with_web().await;
    let (here, there) = (cloud.folder.path(), cloud.vm.files.path());
    fs::create_dir_all(here.join("site/css")).unwrap();
    fs::write(here.join("site/index.html"), "index").unwrap();
    fs::write(here.join("site/css/a.css"), "css").unwrap();
    fs::create_dir_all(there.join("srv")).unwrap();
    symlink("srv", there.join("www")).unwrap();

    copied(&cloud, &["site/index.html", "web:/srv"]).await;
    assert_eq!(text(&there.join("srv/index.html")), "index");
    copied(&cloud, &["site/index.html", "web:/srv/start.html"]).await;
    assert_eq!(text(&there.join("srv/start.html")), "index");
    copied(&cloud, &["site", "web:srv"]).await;
    assert_eq!(text(&there.join("srv/site/css/a.css")), "css");
    copied(&cloud, &["site/.", "web:/srv"]).await;
    assert_eq!(text(&there.join("srv/css/a.css")), "css");
    copied(&cloud, &["site", "web:/srv/new"]).await;
    assert_eq!(text(&there.join("srv/new/index.html")), "index");
    // A folder that is reached by a link is a folder.
    copied(&cloud, &["site/css/a.css", "web:/www"]).await;
    assert_eq!(text(&there.join("srv/a.css")), "css");

    copied(&cloud, &["web:/srv/site", "back"]).await;
    assert_eq!(text(&here.join("back/css/a.css")), "css");
    copied(&cloud, &["web:/srv/site", "back"]).await;
    assert_eq!(text(&here.join("back/site/css/a.css")), "css");
    copied(&cloud, &["web:/srv/start.html", "."]).await;
    assert_eq!(text(&here.join("start.html")), "index");
    copied(&cloud, &["web:/srv/start.html", "end.html"]).await;
    assert_eq!(text(&here.join("end.html")), "index");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_stay_what_they_are() {
    let cloud = with_web().await;
    let big: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(cloud.folder.path().join("big"), &big).unwrap();
    copied(&cloud, &["big", "web:/"]).await;
    assert!(fs::read(cloud.vm.files.path().join("big")).unwrap() == big);
    copied(&cloud, &["web:/big", "again"]).await;
    assert!(fs::read(cloud.folder.path().join("again")).unwrap() == big);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_go_through_pipes() {
    let cloud = with_web().await;
    fs::create_dir(cloud.vm.files.path().join("srv")).unwrap();
    fs::write(cloud.vm.files.path().join("srv/a"), "alpha").unwrap();
    let mut command = cloud.command(&["cp", "web:/srv", "-"]);
    let archive = command.stderr(Stdio::inherit()).output().await.unwrap();
    assert!(archive.status.success());
    fs::create_dir(cloud.vm.files.path().join("copy")).unwrap();
    let mut child = spawn(&cloud, &["cp", "-", "web:/copy"]);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&archive.stdout)
        .await
        .unwrap();
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert!(ended.success());
    assert_eq!(text(&cloud.vm.files.path().join("copy/srv/a")), "alpha");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told() {
    let cloud = with_web().await;
    fs::write(cloud.folder.path().join("file"), "x").unwrap();
    fs::create_dir(cloud.folder.path().join("folder")).unwrap();
    fs::create_dir(cloud.vm.files.path().join("srv")).unwrap();
    fs::write(cloud.vm.files.path().join("srv/file"), "x").unwrap();
    for (words, code, told) in [
        (["file", "file2"], 2, "exactly one of both is in a VM"),
        (["web:/a", "web:/b"], 2, "exactly one of both is in a VM"),
        (["missing", "web:/srv"], 2, "cannot read missing"),
        (["web:/missing", "."], 3, "there is no such file"),
        (["file", "nowhere:/srv"], 3, "there is no VM nowhere"),
        (["file", "web:/srv/none/"], 3, "there is no folder /srv/none/"),
        (["folder", "web:/srv/file"], 5, "/srv/file is a file"),
        (["web:/broken", "."], 1, "the disk is broken"),
        (["web:/large/broken", "."], 8, "the archive broke off"),
        (["file", "web:/full/x"], 1, "no space left on device"),
    ] {
        let (status, err) = cp(&cloud, &words).await;
        assert_eq!(status, Some(code), "{words:?}: {err}");
        assert!(err.contains(told), "{words:?}: {err}");
    }
}
