//! Every example in a help text, run as it stands there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(dead_code, reason = "the cloud has more than examples need")]

mod cloud;
/// The scripted VM that the server's tests know too.
#[path = "../../server/tests/far/mod.rs"]
mod far;

use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use crate::cloud::{Cloud, Ended, KEY};

const HELP: &str = include_str!("golden/help.txt");
/// What goes on until somebody ends it is given this long, and must not have ended.
const A_WHILE: Duration = Duration::from_millis(300);

/// How an example ends where it does not end with 0.
fn expected(example: &str) -> Outcome {
    let is = |words: &[&str]| words.iter().any(|word| example.contains(word));
    if is(&[" -f ", "pwctl events", "pwctl console"]) {
        return Outcome::GoesOn;
    }
    // The scripted VM has no such programs.
    if is(&["-- psql", "pwctl exec web", "pwctl run"]) {
        return Outcome::Ends(127);
    }
    match example {
        // Nobody is there to type.
        "pwctl login https://pitwall.example" => Outcome::Ends(2),
        _ => Outcome::Ends(0),
    }
}

enum Outcome {
    Ends(i32),
    GoesOn,
}

/// The lines below `Example:` and `Examples:`, once each.
fn examples() -> Vec<&'static str> {
    let mut found: Vec<&str> = Vec::new();
    let mut is_inside = false;
    for line in HELP.lines() {
        is_inside = match line {
            "Example:" | "Examples:" => true,
            _ => is_inside && line.starts_with("  "),
        };
        let example = line.trim();
        if is_inside && line.starts_with("  ") && !found.contains(&example) {
            found.push(example);
        }
    }
    found
}

#[test]
fn each_command_has_an_example() {
    let sections = HELP.split("\n$ pwctl ").skip(1);
    for section in sections {
        let is_group = section.contains("\nCommands:\n");
        assert!(
            is_group || section.contains("\nExample"),
            "{}",
            section.lines().next().unwrap()
        );
    }
    assert!(examples().len() > 40, "{:?}", examples());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_does_what_it_says() {
    let cloud = Cloud::open().await;
    let home = cloud.folder.path();
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::create_dir(home.join("image")).unwrap();
    std::fs::create_dir_all(cloud.vm.files.path().join("etc/nginx/conf.d")).unwrap();
    for folder in ["srv", "var/log"] {
        std::fs::create_dir_all(cloud.vm.files.path().join(folder)).unwrap();
    }
    std::fs::write(home.join(".ssh/id_ed25519.pub"), KEY).unwrap();
    std::fs::write(home.join("site.conf"), "x").unwrap();
    std::fs::write(home.join("files.tar"), "x").unwrap();
    std::fs::copy(home.join("admin.token"), home.join("token")).unwrap();
    symlink(env!("CARGO_BIN_EXE_pwctl"), home.join("pwctl")).unwrap();
    cloud.ssh_is("#!/bin/sh\nexit 0\n");
    for example in examples() {
        prepare(&cloud, example).await;
        judge(&cloud, example).await;
    }
}

/// Makes the VMs that are meant to be there, and removes the others.
async fn prepare(cloud: &Cloud, example: &str) {
    let makes = example.contains("pwctl create") || example.contains("pwctl run");
    let wanted: &[&str] = if makes { &[] } else { &["web", "db"] };
    for name in ["web", "db", "cache", "lab"] {
        let is_there = cloud.pwctl(&["get", name, "-q"]).await.code == Some(0);
        let ended = match (wanted.contains(&name), is_there) {
            (true, false) => cloud.pwctl(&["create", name, "--image", "debian"]).await,
            (false, true) => cloud.pwctl(&["rm", name]).await,
            (true, true) | (false, false) => continue,
        };
        assert_eq!(ended.code, Some(0), "{name} before {example}: {ended:?}");
    }
    if example.contains("config use") || example.contains("config rm") || example == "pwctl logout" {
        let words = ["config", "set", "work", "--server", "http://127.0.0.1:1"];
        assert_eq!(cloud.pwctl(&words).await.code, Some(0));
    }
}

async fn judge(cloud: &Cloud, example: &str) {
    // The one server there is here.
    let line = example.replace("https://pitwall.example", &cloud.url());
    let line = match example.contains("keys web --add") {
        true => "pwctl keys web --add ~/.ssh/id_ed25519.pub".to_owned(),
        false => line,
    };
    let mut command = cloud.command_of("/usr/bin/setsid");
    command.args(["-w", "/bin/sh", "-c", &line]);
    let path = format!("{}:/usr/bin:/bin", cloud.folder.path().display());
    command.env("PATH", path).stdin(Stdio::null());
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command.spawn().unwrap();
    match expected(example) {
        Outcome::Ends(code) => {
            let limit = Duration::from_secs(30);
            let output = tokio::time::timeout(limit, child.wait_with_output()).await;
            let ended: Ended = output
                .unwrap_or_else(|_| panic!("{example} goes on"))
                .unwrap()
                .into();
            assert_eq!(ended.code, Some(code), "{example}: {ended:?}");
        }
        Outcome::GoesOn => {
            let ended = tokio::time::timeout(A_WHILE, child.wait_with_output()).await;
            assert!(ended.is_err(), "{example}: {ended:?}");
        }
    }
}
