//! Verbs that take several VMs, that wait, that watch; and `run`.

mod bulk;
mod changes;

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cloud::Cloud;
use crate::streams::terminal::Terminal;
use crate::streams::{LIMIT, signal, spawn, typed, with_web};

#[tokio::test(flavor = "multi_thread")]
async fn several_are_stopped_started_and_removed_at_once() {
    let cloud = with_web().await;
    assert_eq!(
        cloud.pwctl(&["create", "db", "--image", "debian"]).await.code,
        Some(0)
    );
    let stopped = cloud.pwctl(&["stop", "web", "db"]).await;
    assert_eq!(stopped.out, "web is STOPPED\ndb is STOPPED\n", "{stopped:?}");
    let started = cloud.pwctl(&["start", "--all", "--json"]).await;
    let list: Value = serde_json::from_str(&started.out).unwrap();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{started:?}");
    let one: Value = serde_json::from_str(&cloud.pwctl(&["start", "web", "--json"]).await.out).unwrap();
    assert_eq!(one["name"], "web");

    let some = cloud.pwctl(&["stop", "absent", "web", "nowhere"]).await;
    assert_eq!(
        (some.code, some.out.as_str()),
        (Some(3), "web is STOPPED\n"),
        "{some:?}"
    );
    assert!(
        some.err.contains("absent") && some.err.contains("nowhere"),
        "{some:?}"
    );
    let json = cloud.pwctl(&["stop", "absent", "nowhere", "--json"]).await;
    assert_eq!(json.err.lines().count(), 2, "{json:?}");
    assert!(
        json.err
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );

    let dry = cloud.pwctl(&["rm", "--all", "--dry-run"]).await;
    assert_eq!(
        (dry.code, dry.out.as_str()),
        (Some(0), "web would go\ndb would go\n"),
        "{dry:?}"
    );
    let unasked = cloud.pwctl(&["rm", "--all"]).await;
    assert!(
        unasked.code == Some(2) && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    assert_eq!(cloud.pwctl(&["ls", "-o", "name"]).await.out, "web\ndb\n");
    for (answer, code, left) in [("n\r", 1, "web\ndb\n"), ("y\r", 0, "")] {
        let mut terminal = Terminal::start(&cloud, &["rm", "--all"]);
        terminal.until("Remove web, db with their disks? [y/N] ");
        terminal.press(answer);
        assert_eq!(terminal.ended().await, Some(code));
        assert_eq!(cloud.pwctl(&["ls", "-q"]).await.out, left);
    }
    assert_eq!(cloud.pwctl(&["rm", "--all"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_output_is_what_it_says() {
    let cloud = with_web().await;
    assert_eq!(cloud.pwctl(&["get", "web", "-o", "name"]).await.out, "web\n");
    let yaml = cloud.pwctl(&["get", "web", "-o", "yaml"]).await.out;
    assert!(
        yaml.contains("\nname: web\n") && yaml.contains("\nstatus: RUNNING\n"),
        "{yaml}"
    );
    let wide = cloud.pwctl(&["ls", "-o", "wide"]).await.out;
    assert!(
        wide.contains("box1  vm_") && wide.starts_with("NAME  STATUS   ADDRESS     CPUS  MEMORY  DISK"),
        "{wide}"
    );
    // As wide as the terminal, and in colour.
    let mut terminal = Terminal::start_on(&cloud, &["ls"], 60);
    assert_eq!(terminal.ended().await, Some(0));
    terminal.until("AGE");
    terminal.until("\x1b[32mRUNNING\x1b[0m");
    terminal.until("…");
    let lines = terminal.seen.replace("\x1b[32m", "").replace("\x1b[0m", "");
    assert!(
        lines.lines().all(|line| line.trim_end().chars().count() <= 60),
        "{lines}"
    );
    let mut plain = Terminal::start_with(&cloud, &["ls"], &[("NO_COLOR", "1")]);
    plain.until("RUNNING");
    assert!(!plain.seen.contains('\x1b'), "{:?}", plain.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_waited_for() {
    let cloud = with_web().await;
    assert_eq!(cloud.pwctl(&["wait", "web"]).await.out, "web is RUNNING\n");
    let late = cloud
        .pwctl(&["wait", "web", "--for", "stopped", "--timeout", "0"])
        .await;
    assert_eq!(late.code, Some(7), "{late:?}");
    let mut waits = spawn(&cloud, &["wait", "web", "--for", "DELETED"]);
    assert_eq!(cloud.pwctl(&["rm", "web"]).await.code, Some(0));
    let ended = tokio::time::timeout(LIMIT, waits.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(cloud.pwctl(&["wait", "web"]).await.code, Some(3));
    assert_eq!(
        cloud.pwctl(&["wait", "web", "--for", "DELETED"]).await.code,
        Some(0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_until_the_vm_is_gone() {
    let cloud = with_web().await;
    let mut follows = spawn(&cloud, &["events", "web", "--json"]);
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
    let mut kinds = Vec::new();
    while let Some(line) = tokio::time::timeout(LIMIT, lines.next_line())
        .await
        .unwrap()
        .unwrap()
    {
        let event: Value = serde_json::from_str(&line).unwrap();
        if kinds.is_empty() {
            assert_eq!(cloud.pwctl(&["rm", "web"]).await.code, Some(0));
        }
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        (kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()),
        ("created", "deleted"),
        "{kinds:?}"
    );
    assert_eq!(follows.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_makes_a_vm_for_a_command_and_passes_all_of_it_on() {
    let cloud = Cloud::open().await;
    let both = cloud.pwctl(&["run", "--rm", "debian", "--", "both"]).await;
    assert_eq!(
        (both.code, both.out.as_str(), both.err.as_str()),
        (Some(3), "out\n", "err\n")
    );
    let words = ["run", "--rm", "-i", "debian", "--", "cat"];
    let echoed = typed(&cloud, &words, b"typed").await;
    assert_eq!(
        (echoed.code, echoed.out.as_str()),
        (Some(0), "typed"),
        "{echoed:?}"
    );
    for (command, code) in [("missing", 127), ("forbidden", 126)] {
        assert_eq!(
            cloud.pwctl(&["run", "--rm", "debian", "--", command]).await.code,
            Some(code)
        );
    }
    assert_eq!(
        cloud.pwctl(&["run", "--rm", "a b", "--", "cat"]).await.code,
        Some(125)
    );
    assert_eq!(
        cloud.pwctl(&["run", "--rm", "missing", "--", "cat"]).await.code,
        Some(125)
    );
    none_left(&cloud).await;

    let kept = cloud
        .pwctl(&["run", "--name", "kept", "debian", "--", "exit", "0"])
        .await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let vm: Value = serde_json::from_str(&cloud.pwctl(&["get", "kept", "--json"]).await.out).unwrap();
    assert_eq!(
        (&vm["status"], &vm["service"]["enabled"]),
        (&"RUNNING".into(), &false.into())
    );
}

/// The first line of what is piped is the password, and the rest is the command's, whole.
#[tokio::test(flavor = "multi_thread")]
async fn run_takes_a_password_from_a_pipe_and_nothing_behind_it() {
    let cloud = Cloud::open().await;
    let rest = "of the command\n".repeat(10_000);
    let words = [
        "run",
        "--rm",
        "-i",
        "--registry-user",
        "ann",
        "debian",
        "--",
        "cat",
    ];
    let input = format!("the password\n{rest}");
    let echoed = typed(&cloud, &words, input.as_bytes()).await;
    assert_eq!((echoed.code, echoed.out == rest), (Some(0), true), "{echoed:?}");
    let empty = typed(&cloud, &words, format!("\n{rest}").as_bytes()).await;
    assert_eq!(empty.code, Some(125), "{empty:?}");
    assert!(empty.err.contains("--registry-user NAME < FILE"), "{empty:?}");
    none_left(&cloud).await;
}

/// VMs go a moment after they were asked to.
async fn none_left(cloud: &Cloud) {
    let gone = async { while !cloud.pwctl(&["ls", "-q"]).await.out.is_empty() {} };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_is_the_commands_and_a_second_one_removes_the_vm() {
    let cloud = Cloud::open().await;
    let mut child = spawn(&cloud, &["run", "--rm", "-i", "debian", "--", "tell"]);
    let _open = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let next = tokio::time::timeout(LIMIT, lines.next_line())
        .await
        .unwrap()
        .unwrap();
    assert!(next.unwrap().contains("tell"));
    signal(&child, Signal::SIGINT);
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(130), "the command ended by it");
    none_left(&cloud).await;

    let mut deaf = spawn(&cloud, &["run", "--rm", "debian", "--name", "deaf", "--", "deaf"]);
    crate::until_caught(deaf.id().unwrap(), 10).await;
    signal(&deaf, Signal::SIGINT);
    tokio::time::sleep(Duration::from_millis(50)).await;
    signal(&deaf, Signal::SIGINT);
    let ended = tokio::time::timeout(LIMIT, deaf.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(130));
    let gone = async { while cloud.pwctl(&["get", "deaf"]).await.code != Some(3) {} };
    tokio::time::timeout(LIMIT, gone).await.unwrap();

    let mut terminal = Terminal::start(
        &cloud,
        &["run", "--rm", "--name", "typed", "debian", "--", "deaf"],
    );
    while !terminal.is_raw() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    terminal.press("\x03\x03");
    assert_eq!(terminal.ended().await, Some(130));
    assert!(!terminal.is_raw());
    let gone = async { while cloud.pwctl(&["get", "typed"]).await.code != Some(3) {} };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_ended_while_it_waits_leaves_nothing() {
    let cloud = Cloud::open().await;
    for sent in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = spawn(&cloud, &["run", "--rm", "endless", "--", "cat"]);
        let asked = async { while cloud.pwctl(&["ls", "-q"]).await.out.is_empty() {} };
        tokio::time::timeout(LIMIT, asked).await.unwrap();
        crate::until_caught(child.id().unwrap(), sent as u32).await;
        signal(&child, sent);
        let ended = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
        assert_eq!(ended.code(), Some(125), "{sent}");
        none_left(&cloud).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_removes_what_a_vanished_run_leaves() {
    let cloud = Cloud::open().await;
    let words = ["run", "--rm", "--name", "left", "debian", "--", "deaf"];
    let mut child = spawn(&cloud, &words);
    // The command runs.
    crate::until_caught(child.id().unwrap(), 10).await;
    child.kill().await.unwrap();
    let left: Value = serde_json::from_str(&cloud.pwctl(&["get", "left", "--json"]).await.out).unwrap();
    assert_eq!(
        (&left["status"], &left["lease_seconds"]),
        (&"RUNNING".into(), &60.into())
    );
    // Nobody is there to give a sign in this minute.
    cloud.later_by(60);
    none_left(&cloud).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_a_web_server_is_shown_and_a_doctor_says_what_is_wrong() {
    let cloud = with_web().await;
    assert_eq!(
        cloud.pwctl(&["open", "web", "-p", "8080"]).await.out,
        "http://172.30.0.3:8080/\n"
    );
    cloud.ssh_is("#!/bin/sh\necho OpenSSH_9 >&2\n");
    let well = cloud.pwctl(&["doctor"]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    let mut command = cloud.command(&["doctor", "--json", "--url", "http://127.0.0.1:1"]);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bad = findings["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["ok"] == false);
    assert!(
        bad.unwrap()["next"].as_str().unwrap().contains("make up"),
        "{findings}"
    );
}
