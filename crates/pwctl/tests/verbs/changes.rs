//! What changes a VM, and what tells of it: rebuild, resize, extend, audit and the events of all.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cloud::Cloud;
use crate::streams::terminal::Terminal;
use crate::streams::{LIMIT, spawn, with_web};

async fn json(cloud: &Cloud, words: &[&str]) -> Value {
    let ended = cloud.pwctl(&[words, &["--json"]].concat()).await;
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_made_anew_only_where_that_is_meant() {
    let cloud = with_web().await;
    let before = json(&cloud, &["get", "web"]).await;
    let unasked = cloud.pwctl(&["rebuild", "web"]).await;
    assert!(
        unasked.code == Some(2) && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    let dry = cloud.pwctl(&["rebuild", "web", "--dry-run"]).await;
    assert_eq!(dry.out, "web would be made anew\n", "{dry:?}");
    let mut terminal = Terminal::start(&cloud, &["rebuild", "web"]);
    terminal.until("Make web anew, and lose what is on their disks? [y/N] ");
    terminal.press("n\r");
    assert_eq!(terminal.ended().await, Some(1));
    assert_eq!(
        json(&cloud, &["get", "web"]).await["generation"],
        before["generation"]
    );

    let words = ["rebuild", "web", "--image", "debian:13", "--yes"];
    let rebuilt = cloud.pwctl(&words).await;
    assert_eq!(
        (rebuilt.code, rebuilt.out.as_str()),
        (
            Some(0),
            "web is made anew from docker.io/library/debian:13 and RUNNING\n"
        ),
        "{rebuilt:?}"
    );
    let after = json(&cloud, &["get", "web"]).await;
    assert_eq!(
        (&after["id"], &after["host_key"]),
        (&before["id"], &before["host_key"])
    );
    // One that is off stays off.
    assert_eq!(cloud.pwctl(&["stop", "web"]).await.code, Some(0));
    let off = cloud.pwctl(&["rebuild", "web", "--yes", "--json"]).await;
    assert_eq!(off.code, Some(0), "{off:?}");
    assert_eq!(json(&cloud, &["get", "web"]).await["status"], "STOPPED");
    assert_eq!(cloud.pwctl(&["rebuild", "nowhere", "--yes"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_gets_another_size() {
    let cloud = with_web().await;
    assert_eq!(cloud.pwctl(&["resize", "web"]).await.code, Some(2));
    let running = cloud.pwctl(&["resize", "web", "--cpus", "2"]).await;
    assert_eq!(running.code, Some(5), "{running:?}");
    let words = ["resize", "web", "--cpus", "2", "--memory", "1G", "--restart"];
    let resized = cloud.pwctl(&words).await;
    assert_eq!(
        resized.out, "web has cpus: 2, memory: 1G, disk: 2G; it is RUNNING\n",
        "{resized:?}"
    );
    assert_eq!(
        cloud.pwctl(&["resize", "web", "--disk", "4G"]).await.code,
        Some(0)
    );
    let less = cloud.pwctl(&["resize", "web", "--disk", "1G"]).await;
    assert!(less.code == Some(2) && less.err.contains("only grow"), "{less:?}");
    assert_eq!(cloud.pwctl(&["stop", "web"]).await.code, Some(0));
    let off = cloud.pwctl(&["resize", "web", "--cpus", "1"]).await;
    assert_eq!(
        off.out, "web has cpus: 1, memory: 1G, disk: 4G; it is STOPPED\n",
        "{off:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_given_its_time_and_more_of_it() {
    let cloud = Cloud::open().await;
    let words = [
        "create", "web", "--image", "debian", "--ttl", "1h", "--grace", "2h",
    ];
    let created = cloud
        .pwctl(&[&words[..], &["--idle-after", "30m"]].concat())
        .await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let time = |vm: &Value| -> jiff::Timestamp { vm["expires_at"].as_str().unwrap().parse().unwrap() };
    let before = json(&cloud, &["get", "web"]).await;
    assert_eq!(before["idle_after_seconds"], 1800);
    let extended = cloud.pwctl(&["extend", "web", "8h"]).await;
    assert!(
        extended.code == Some(0) && extended.out.starts_with("web lives until "),
        "{extended:?}"
    );
    let after = json(&cloud, &["get", "web"]).await;
    assert_eq!(time(&after).duration_since(time(&before)).as_hours(), 8);
    let shown = cloud.pwctl(&["get", "web"]).await.out;
    assert!(
        shown.contains("\nlives until: ") && shown.contains("\nidle after:  1800 s without use\n"),
        "{shown}"
    );
    assert_eq!(cloud.pwctl(&["extend", "web", "8"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_who_did_what() {
    let cloud = with_web().await;
    let vm = json(&cloud, &["get", "web"]).await;
    assert_eq!(cloud.pwctl(&["get", "nowhere"]).await.code, Some(3));
    for _ in 0..2 {
        assert_eq!(cloud.pwctl(&["restart", "web"]).await.code, Some(0));
    }
    let created = json(
        &cloud,
        &[
            "audit",
            "--operation",
            "vm_create",
            "--user",
            "admin",
            "--since",
            "1h",
        ],
    )
    .await;
    let items = created["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["target"], &items[0]["outcome"]),
        (1, &vm["id"], &"ok".into())
    );
    let target = vm["id"].as_str().unwrap();
    let newest = cloud.pwctl(&["audit", "--target", target, "-n", "2"]).await;
    let lines: Vec<_> = newest.out.lines().collect();
    assert!(
        lines[0].starts_with("AT ") && lines[0].contains("  WHO    WHAT        TO "),
        "{newest:?}"
    );
    assert!(
        lines.len() == 3 && lines[1..].iter().all(|line| line.contains("  vm_restart  ")),
        "{newest:?}"
    );
    let all = json(&cloud, &["audit", "--target", target, "-n", "0"]).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3), "{all}");
    assert_eq!(cloud.pwctl(&["audit", "--user", "nobody"]).await.code, Some(3));
    assert_eq!(
        cloud.pwctl(&["audit", "--since", "yesterday"]).await.code,
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_are_followed() {
    let cloud = with_web().await;
    let mut follows = spawn(&cloud, &["events", "--json"]);
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
    // It begins at some moment; from then on each change is told.
    let changes = async {
        for number in 0_u64.. {
            cloud.pwctl(&["label", "web", &format!("n={number}")]).await;
        }
    };
    let first = async { lines.next_line().await.unwrap().unwrap() };
    let first = tokio::select! {
        line = first => line,
        () = changes => panic!("they have no end"),
        () = tokio::time::sleep(LIMIT) => panic!("nothing is told"),
    };
    let event: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(event["type"], "changed");
    // It goes on when a VM is gone, and tells of others.
    assert_eq!(cloud.pwctl(&["rm", "web"]).await.code, Some(0));
    let created = cloud.pwctl(&["create", "db", "--image", "debian"]).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let told = async {
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "created") {
            let event: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            kinds.push(event["type"].as_str().unwrap().to_owned());
        }
        kinds
    };
    let kinds = tokio::time::timeout(LIMIT, told).await.unwrap();
    assert!(kinds.contains(&"deleted".to_owned()), "{kinds:?}");
}
