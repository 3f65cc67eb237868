//! Logs, programs, consoles and files, through pipes and on a terminal.

mod copies;
pub(crate) mod terminal;

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use crate::cloud::{Cloud, Ended};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A cloud with a VM named web.
pub(crate) async fn with_web() -> Cloud {
    let cloud = Cloud::open().await;
    let created = cloud.pwctl(&["create", "web", "--image", "debian"]).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    cloud
}

pub(crate) fn spawn(cloud: &Cloud, words: &[&str]) -> Child {
    let mut command = cloud.command(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

pub(crate) async fn typed(cloud: &Cloud, words: &[&str], input: &[u8]) -> Ended {
    let mut child = spawn(cloud, words);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let typing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    // One that ends without reading all of it breaks the pipe.
    let _ = typing.await.unwrap();
    output.into()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_printed_as_it_was() {
    let cloud = with_web().await;
    let mut command = cloud.command(&["logs", "web"]);
    let printed = command.output().await.unwrap();
    assert_eq!(printed.stdout, b"one\n\xff3\n");
    assert_eq!(printed.stderr, b"17 bytes of the log are lost here\ntwo\n");
    let json = cloud.pwctl(&["logs", "web", "--json"]).await;
    let records: Vec<Value> = json
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = records
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["boot", "gap", "line", "line", "line"]);
    assert_eq!(json.err, "");
    let mut command = cloud.command(&["logs", "web", "-n", "2"]);
    let newest = command.output().await.unwrap();
    assert_eq!(
        (newest.stdout.as_slice(), newest.stderr.as_slice()),
        (&b"\xff3\n"[..], &b"two\n"[..])
    );
    assert_eq!(
        cloud.pwctl(&["logs", "web", "--since", "now"]).await.code,
        Some(2)
    );
    assert_eq!(cloud.pwctl(&["logs", "nowhere"]).await.code, Some(3));
    let none = cloud.pwctl(&["logs", "web", "--since", "1h", "--json"]).await;
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed() {
    let cloud = with_web().await;
    let mut child = spawn(&cloud, &["logs", "web", "-f", "--tail", "0"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for text in ["four", "five"] {
        cloud.vm.prints.send(Some(text)).await.unwrap();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.unwrap();
        assert_eq!(line.unwrap().as_deref(), Some(text));
    }
    cloud.vm.prints.send(None).await.unwrap();
    let ended: Ended = child.wait_with_output().await.unwrap().into();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .err
            .contains("cannot be read any further: the host went away"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_what_is_piped_and_its_status_is_passed_on() {
    let cloud = with_web().await;
    let input = vec![b'x'; 1_000_000];
    let echoed = typed(&cloud, &["exec", "-i", "web", "--", "cat"], &input).await;
    assert_eq!(
        (echoed.code, echoed.out.len(), echoed.err.as_str()),
        (Some(0), 1_000_000, "")
    );
    // Without -i it gets nothing, and what is piped is left to others.
    let empty = typed(&cloud, &["exec", "web", "--", "cat"], b"ignored").await;
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{empty:?}");
    let both = cloud.pwctl(&["exec", "web", "--", "both"]).await;
    assert_eq!(
        (both.code, both.out.as_str(), both.err.as_str()),
        (Some(3), "out\n", "err\n")
    );
    for (words, code, told) in [
        (&["exec", "web", "--", "exit", "37"][..], 37, ""),
        (&["exec", "web", "--", "kill", "9"], 137, ""),
        (
            &["exec", "web", "--", "missing"],
            127,
            "pwctl: there is no such program in PATH\n",
        ),
        (
            &["exec", "web", "--", "forbidden"],
            126,
            "pwctl: cannot run forbidden: permission denied\n",
        ),
        (
            &["exec", "nowhere", "--", "cat"],
            125,
            "pwctl: there is no VM nowhere\n  next: pwctl ls shows those there are\n",
        ),
    ] {
        let ended = cloud.pwctl(words).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(code), told), "{words:?}");
    }
    let json = cloud.pwctl(&["exec", "web", "--json", "--", "missing"]).await;
    let problem: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json.code, &problem["code"]), (Some(127), &"not_found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_hears_how_it_is_to_be_started_and_signals() {
    let cloud = with_web().await;
    let words = [
        "exec", "-i", "-u", "fred", "-w", "/srv", "-e", "A=1", "web", "--", "tell", "-l",
    ];
    let mut child = spawn(&cloud, &words);
    let _open = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        tokio::time::timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    let told = next().await;
    for part in [
        "[\"tell\", \"-l\"]",
        "\"A=1\"",
        "\"/srv\"",
        "\"fred\"",
        "terminal: None",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    for (sent, heard) in [(Signal::SIGTERM, "Signal(15)"), (Signal::SIGUSR1, "Signal(10)")] {
        signal(&child, sent);
        assert_eq!(next().await, heard);
    }
    signal(&child, Signal::SIGINT);
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_ends_the_program() {
    let cloud = with_web().await;
    let mut child = spawn(&cloud, &["exec", "web", "--", "flood", "50000000"]);
    drop(child.stdout.take());
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(141));
    cloud.vm.until_closed(1).await;
}
