//! What is asked of several VMs: which are meant, and what a person is asked about them.

use std::process::Stdio;
use std::time::Duration;

use crate::cloud::Cloud;
use crate::streams::terminal::Terminal;
use crate::streams::with_web;

async fn ok(cloud: &Cloud, words: &[&str]) -> String {
    let ended = cloud.pwctl(words).await;
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    ended.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_means_the_vms_that_have_all_of_them_whosever_they_are() {
    let cloud = with_web().await;
    ok(&cloud, &["user", "create", "ann"]).await;
    for (name, more) in [
        ("a", &["--label", "tier=test", "--label", "zone=1"][..]),
        ("b", &["--label", "tier=test", "--label", "zone=2"]),
        (
            "a",
            &["--label", "tier=test", "--label", "zone=1", "--owner", "ann"],
        ),
        ("c", &["--label", "tier=tested"]),
    ] {
        ok(&cloud, &[&["create", name, "--image", "debian"], more].concat()).await;
    }
    let stopped = ok(&cloud, &["stop", "--label", "tier=test"]).await;
    assert_eq!(stopped, "a is STOPPED\nb is STOPPED\na is STOPPED\n");
    assert_eq!(
        ok(&cloud, &["ls", "--status", "RUNNING", "-o", "name"]).await,
        "web\nc\n"
    );
    // A name that is two VMs' is told whole.
    assert_eq!(
        ok(&cloud, &["ls", "-o", "name"]).await,
        "web\na.admin\nb\na.ann\nc\n"
    );

    let both = ["rm", "--label", "tier=test", "--label", "zone=1"];
    let mut terminal = Terminal::start(&cloud, &both);
    terminal.until("Remove a.admin, a.ann with their disks? [y/N] ");
    terminal.press("y\r");
    assert_eq!(terminal.ended().await, Some(0), "{}", terminal.seen);
    assert_eq!(ok(&cloud, &["ls", "-o", "name"]).await, "web\nb\nc\n");
    assert_eq!(ok(&cloud, &["rm", "--label", "tier=none", "--yes"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_about_all_that_is_meant_or_not_at_all() {
    let cloud = with_web().await;
    for team in ["ops", "dev"] {
        ok(&cloud, &["team", "create", team]).await;
        ok(&cloud, &["create", "db", "--image", "debian", "--owner", team]).await;
    }
    // One of them cannot be looked at, since it is not clear which it is.
    let mut terminal = Terminal::start(&cloud, &["rebuild", "web", "db"]);
    terminal.until("next: ");
    assert_eq!(terminal.ended().await, Some(5), "{}", terminal.seen);
    assert!(!terminal.seen.contains("[y/N]"), "{}", terminal.seen);

    // One that is not there is left out of the question, and told.
    let mut terminal = Terminal::start(&cloud, &["rebuild", "web", "nowhere"]);
    terminal.until("Make web anew, and lose what is on their disks? [y/N] ");
    terminal.press("y\r");
    terminal.until("web is made anew");
    terminal.until("nowhere");
    assert_eq!(terminal.ended().await, Some(3), "{}", terminal.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_what_goes() {
    let cloud = with_web().await;
    let mut terminal = Terminal::start(&cloud, &["rebuild", "web"]);
    terminal.until("Make web anew");
    // While the person thinks, the name becomes another VM's.
    ok(&cloud, &["rm", "web"]).await;
    ok(&cloud, &["create", "web", "--image", "debian"]).await;
    terminal.press("y\r");
    assert_eq!(terminal.ended().await, Some(3), "{}", terminal.seen);
    let vm: serde_json::Value = serde_json::from_str(&ok(&cloud, &["get", "web", "--json"]).await).unwrap();
    assert_eq!(vm["generation"], 1, "nobody asked for anything: {vm}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rm_ends_when_the_vm_is_gone_and_not_before() {
    let cloud = with_web().await;
    cloud.host_is_slow_to_remove(true);
    let mut command = cloud.command(&["rm", "web"]);
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut ended = Box::pin(child.wait_with_output());
    while !cloud.pwctl(&["get", "web"]).await.out.contains("DELETING") {
        assert!(
            tokio::time::timeout(Duration::from_millis(10), &mut ended)
                .await
                .is_err(),
            "it has ended"
        );
    }
    let words = ["rm", "web", "--timeout", "1"];
    assert_eq!(cloud.pwctl(&words).await.code, Some(7), "it waits");
    assert!(
        tokio::time::timeout(Duration::from_millis(10), &mut ended)
            .await
            .is_err(),
        "it has ended"
    );
    cloud.host_is_slow_to_remove(false);
    // Any change makes the host look again.
    ok(&cloud, &["create", "next", "--image", "debian"]).await;
    let ended = tokio::time::timeout(crate::streams::LIMIT, ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "web is gone\n");
    assert_eq!(cloud.pwctl(&["get", "web"]).await.code, Some(3));
}
