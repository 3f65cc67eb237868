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

/// All help texts.
fn help() -> String {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    std::fs::read_to_string(golden).unwrap()
}

/// The one whose fingerprint stands in examples.
const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw an other";
/// What goes on until somebody ends it is given this long, and must not have ended.
const A_WHILE: Duration = Duration::from_millis(300);

/// How an example ends where it does not end with 0.
fn expected(example: &str) -> Outcome {
    let is = |words: &[&str]| words.iter().any(|word| example.contains(word));
    if is(&[" -f ", "pwctl events", "pwctl console"]) {
        return Outcome::GoesOn;
    }
    // The scripted VM has neither shell nor database.
    if example == "pwctl exec web" || is(&["psql"]) {
        return Outcome::Ends(127);
    }
    match example {
        // An id of nobody's.
        _ if is(&["token rm token_", "token rm tok_"]) => Outcome::Ends(3),
        // Nobody is there to type.
        "pwctl login https://pitwall.example" => Outcome::Ends(2),
        _ => Outcome::Ends(0),
    }
}

/// What an example prints that runs something in a VM.
fn printed(example: &str) -> &'static str {
    match example {
        _ if example.ends_with("cat /etc/os-release") => OS_RELEASE,
        _ if example.starts_with("pwctl run") => "Linux scripted\n",
        _ => "",
    }
}

const OS_RELEASE: &str = "ID=debian\n";

enum Outcome {
    Ends(i32),
    GoesOn,
}

/// The lines below `Example:` and `Examples:`, once each.
fn examples(help: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut is_inside = false;
    for line in help.lines() {
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
    /// They need a VM that a host found, which no line of a help can bring about.
    const NEED_A_FOUND_VM: [&str; 2] = ["host adopt --help", "host rm --help"];
    let help = help();
    let sections = help.split("\n$ pwctl ").skip(1);
    for section in sections {
        let name = section.lines().next().unwrap();
        let is_excused = section.contains("\nCommands:\n") || NEED_A_FOUND_VM.contains(&name);
        assert!(is_excused || section.contains("\nExample"), "{name}");
    }
    assert!(examples(&help).len() > 40, "{:?}", examples(&help));
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
    std::fs::write(cloud.vm.files.path().join("etc/os-release"), OS_RELEASE).unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(home).args(["-cf", "files.tar", "site.conf"]);
    assert!(tar.current_dir(home).status().unwrap().success());
    std::fs::write(home.join("other.pub"), OTHER_KEY).unwrap();
    symlink(env!("CARGO_BIN_EXE_pwctl"), home.join("pwctl")).unwrap();
    cloud.ssh_is("#!/bin/sh\nexit 0\n");
    for example in examples(&help()) {
        prepare(&cloud, example).await;
        judge(&cloud, example).await;
    }
    assert!(cloud.vm.files.path().join("srv/site.conf").is_file(), "tar x");
}

/// Makes what is meant to be there, and removes what is to be made.
async fn prepare(cloud: &Cloud, example: &str) {
    let is = |word: &str| example.contains(word);
    people(cloud, example).await;
    let makes = is("pwctl create") || is("pwctl run");
    let wanted: &[&str] = if makes { &[] } else { &["web", "db"] };
    // One that was given away would make its name two VMs'.
    cloud.pwctl(&["rm", "web.ops", "--ignore-missing"]).await;
    for name in ["web", "db", "cache", "lab"] {
        let is_there = cloud.pwctl(&["get", name, "-q"]).await.code == Some(0);
        let ended = match (wanted.contains(&name), is_there) {
            // With a time to live, as there must be one to extend.
            (true, false) => {
                let words = ["create", name, "--image", "debian", "--ttl", "8h"];
                cloud.pwctl(&words).await
            }
            (false, true) => cloud.pwctl(&["rm", name]).await,
            (true, true) | (false, false) => continue,
        };
        assert_eq!(ended.code, Some(0), "{name} before {example}: {ended:?}");
    }
    if !makes {
        assert_eq!(
            cloud.pwctl(&["start", "web", "db"]).await.code,
            Some(0),
            "before {example}"
        );
    }
    if is("--for STOPPED") {
        assert_eq!(cloud.pwctl(&["stop", "web"]).await.code, Some(0));
    }
    if is("config use") || is("config rm") {
        let words = ["config", "set", "work", "--server", "http://127.0.0.1:1"];
        assert_eq!(cloud.pwctl(&words).await.code, Some(0));
    }
    if is("unshare") {
        assert_eq!(cloud.pwctl(&["share", "web", "ann"]).await.code, Some(0));
    }
    if is("pwctl key rm") {
        assert_eq!(cloud.pwctl(&["key", "add", "other.pub"]).await.code, Some(0));
    }
    if is("login") || is("logout") {
        signed_in_with_a_token_of_its_own(cloud).await;
    }
}

/// The users and the team that examples speak of; the one that an example makes is not there yet.
async fn people(cloud: &Cloud, example: &str) {
    for user in ["ann", "bob"] {
        cloud.pwctl(&["user", "create", user]).await;
        cloud.pwctl(&["user", "enable", user]).await;
    }
    cloud.pwctl(&["team", "create", "ops"]).await;
    if example.contains("user create ann") {
        let words = ["user", "rm", "ann", "--transfer-to", "bob", "--yes"];
        assert_eq!(cloud.pwctl(&words).await.code, Some(0));
    }
    if example.contains("team create ops") {
        let words = ["team", "rm", "ops", "--transfer-to", "bob", "--yes"];
        assert_eq!(cloud.pwctl(&words).await.code, Some(0));
    }
}

/// So that signing out revokes no other.
async fn signed_in_with_a_token_of_its_own(cloud: &Cloud) {
    let made = cloud.pwctl(&["token", "create", "example", "--json"]).await;
    let token: serde_json::Value = serde_json::from_str(&made.out).unwrap_or_else(|_| panic!("{made:?}"));
    let secret = token["secret"].as_str().unwrap();
    std::fs::write(cloud.folder.path().join("token"), secret).unwrap();
    let mut login = cloud.command(&["login", &cloud.url(), "--with-token"]);
    let token = std::fs::File::open(cloud.folder.path().join("token")).unwrap();
    let ended: Ended = login.stdin(token).output().await.unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

async fn judge(cloud: &Cloud, example: &str) {
    // The one server there is here.
    let line = example.replace("https://pitwall.example", &cloud.url());
    // A VM has the key before it is taken away.
    let line = match example.contains("keys web --add") {
        true => format!("pwctl keys web --add other.pub && {line}"),
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
            // As it is: a log holds what no text does.
            let output = output.unwrap_or_else(|_| panic!("{example} goes on")).unwrap();
            assert_eq!(output.status.code(), Some(code), "{example}: {output:?}");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains(printed(example)), "{example}: {output:?}");
        }
        Outcome::GoesOn => {
            let ended = tokio::time::timeout(A_WHILE, child.wait_with_output()).await;
            assert!(ended.is_err(), "{example}: {ended:?}");
        }
    }
}
