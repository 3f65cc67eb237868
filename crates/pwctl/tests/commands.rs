//! The program against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod cloud;
mod contexts;
/// The scripted VM that the server's tests know too.
#[path = "../../server/tests/far/mod.rs"]
mod far;
mod shells;
mod ssh;
mod streams;
mod verbs;

use std::process::Stdio;
use std::time::Duration;

use model::VmId;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cloud::Cloud;

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_lives_from_create_to_rm() {
    let cloud = Cloud::open().await;
    let created = cloud
        .pwctl(&["create", "web", "--image", "debian:12", "--memory", "256M"])
        .await;
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_eq!(
        created.out,
        "web is RUNNING at 172.30.0.3; sign in with: pwctl ssh web\n"
    );
    // Nobody watches.
    assert_eq!(created.err, "", "{created:?}");

    let listed = cloud.pwctl(&["ls"]).await.out;
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(
        lines[0],
        "NAME  STATUS   ADDRESS     CPUS  MEMORY  IMAGE                        AGE"
    );
    assert!(
        lines[1].starts_with("web   RUNNING  172.30.0.3  1     256M    docker.io/library/debian:12  ")
            && lines[1].ends_with('s'),
        "{listed}"
    );
    assert!(
        cloud
            .pwctl(&["get", "web"])
            .await
            .out
            .contains("status:   RUNNING\n")
    );
    let line = cloud.pwctl(&["ssh-command", "web"]).await.out;
    let identity = cloud.folder.path().join("id_pitwall");
    assert!(
        line.starts_with(&format!("ssh -i {} -p 2222 -o ", identity.display())),
        "{line}"
    );
    assert!(line.ends_with(" fred@172.30.0.3\n"), "{line}");

    assert_eq!(cloud.pwctl(&["stop", "web"]).await.out, "web is STOPPED\n");
    assert_eq!(cloud.pwctl(&["start", "web", "-q"]).await.out, "web\n");
    let removed = cloud.pwctl(&["rm", "web", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&removed.out).unwrap()["items"][0],
        "web",
        "{removed:?}"
    );
    assert_eq!(removed.err, "");
    assert_eq!(cloud.pwctl(&["get", "web"]).await.code, Some(3));
    assert_eq!(cloud.pwctl(&["rm", "web"]).await.code, Some(3));
    assert_eq!(
        cloud.pwctl(&["rm", "web", "--ignore-missing"]).await.code,
        Some(0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_at_create_is_shown() {
    let cloud = Cloud::open().await;
    std::fs::write(cloud.folder.path().join("ca.pub"), cloud::KEY).unwrap();
    let created = cloud
        .pwctl(&[
            "create",
            "web",
            "--image",
            "debian",
            "--ssh-ca",
            "ca.pub",
            "--image-keys",
            "--console",
            "--restart",
            "always",
            "--",
            "sh",
            "-c",
            "exit 7",
        ])
        .await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let shown = cloud.pwctl(&["get", "web"]).await.out;
    for line in [
        "service:    backing off, last exit status 7, started again 3 times\n",
        "command:    sh -c 'exit 7'\n",
        &format!("ssh ca:     {}\n", cloud::KEY),
        "image keys: count\n",
        "console:    asked for\n",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let vm: Value = serde_json::from_str(&cloud.pwctl(&["get", "web", "--json"]).await.out).unwrap();
    let service = &vm["service"];
    assert_eq!(
        (&service["restart"], &service["exit_code"], &service["command"][2]),
        (&"always".into(), &7.into(), &"exit 7".into())
    );
    let created = cloud
        .pwctl(&["create", "plain", "--image", "debian", "--no-service"])
        .await;
    assert_eq!(created.code, Some(0), "{created:?}");
    assert!(
        cloud
            .pwctl(&["get", "plain"])
            .await
            .out
            .contains("service:  none asked for\n")
    );
    for wrong in [&["--restart", "sometimes"][..], &["--no-service", "--", "sh"]] {
        let words = [&["create", "x", "--image", "debian"], wrong].concat();
        assert_eq!(cloud.pwctl(&words).await.code, Some(2), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_added_and_removed() {
    const MADE: &str = "SHA256:n1OEOyl5z2ZGkEgqBRs6jpZLG4b2FRjmMS+O6+Q/9OE";
    const OTHER: &str = "SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY";
    let cloud = Cloud::open().await;
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw an other";
    std::fs::write(cloud.folder.path().join("other.pub"), line).unwrap();
    let created = cloud.pwctl(&["create", "web", "--image", "debian"]).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let added = cloud.pwctl(&["keys", "web", "--add", "other.pub"]).await;
    let (head, made) = (
        format!("{:50}  TYPE         COMMENT\n", "FINGERPRINT"),
        format!("{MADE}  ssh-ed25519  me\n"),
    );
    assert_eq!(
        added.out,
        format!("{head}{made}{OTHER}  ssh-ed25519  an other\n"),
        "{added:?}"
    );
    let again = cloud.pwctl(&["keys", "web", "--add", "other.pub", "-q"]).await;
    assert_eq!(again.out, format!("{MADE}\n{OTHER}\n"), "{again:?}");
    let vm: Value = serde_json::from_str(&cloud.pwctl(&["get", "web", "--json"]).await.out).unwrap();
    assert_eq!(
        (&vm["generation"], &vm["settled_generation"]),
        (&2.into(), &2.into())
    );

    let removed = cloud.pwctl(&["keys", "web", "--remove", MADE, "--json"]).await;
    let listed: Value = serde_json::from_str(&removed.out).unwrap();
    assert_eq!(listed["items"][0]["line"], line, "{removed:?}");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    let missing = cloud.pwctl(&["keys", "web", "--remove", MADE]).await;
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(
        missing.err.contains("next: pwctl keys web lists those it takes"),
        "{missing:?}"
    );
    let swapped = cloud
        .pwctl(&[
            "keys",
            "web",
            "--remove",
            "other.pub",
            "--add",
            "id_pitwall",
            "-q",
        ])
        .await;
    assert_eq!(swapped.out, format!("{MADE}\n"), "{swapped:?}");
    // Those of the account, or an authority's, may open it all the same.
    let last = cloud.pwctl(&["keys", "web", "--remove", MADE, "-q"]).await;
    assert_eq!((last.code, last.out.as_str()), (Some(0), ""), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_why_and_what_next() {
    let cloud = Cloud::open().await;
    let failed = cloud.pwctl(&["create", "lost", "--image", "missing"]).await;
    assert_eq!((failed.code, failed.out.as_str()), (Some(1), ""), "{failed:?}");
    let told = "pwctl: VM lost is in ERROR: there is no such image\n  next: look at its name\n";
    assert!(failed.err.ends_with(told), "{failed:?}");

    let taken = cloud
        .pwctl(&["create", "lost", "--image", "debian", "--json"])
        .await;
    assert_eq!(taken.code, Some(5), "{taken:?}");
    let problem: Value = serde_json::from_str(&taken.err).unwrap();
    assert_eq!(
        (problem["code"].as_str(), taken.err.lines().count()),
        (Some("name_taken"), 1)
    );
    assert_eq!(
        cloud
            .pwctl(&["create", "Bad_Name", "--image", "debian"])
            .await
            .code,
        Some(2)
    );
    assert_eq!(
        cloud
            .pwctl(&["create", "big", "--image", "debian", "--memory", "1T"])
            .await
            .code,
        Some(6)
    );
    let waited = cloud
        .pwctl(&["create", "slow", "--image", "endless", "--timeout", "0"])
        .await;
    assert_eq!(waited.code, Some(7), "{waited:?}");
    assert_eq!(
        cloud
            .pwctl(&["create", "later", "--image", "endless", "--no-wait"])
            .await
            .code,
        Some(0)
    );

    let wrong = cloud
        .command(&["ls"])
        .env("PITWALL_TOKEN", "nonsense")
        .output()
        .await
        .unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    let nobody = cloud
        .command(&["ls", "--url", "http://127.0.0.1:1"])
        .output()
        .await
        .unwrap();
    assert_eq!(nobody.status.code(), Some(8));
    assert!(
        String::from_utf8(nobody.stderr)
            .unwrap()
            .contains("is pitwall running?")
    );
    let unreadable = cloud
        .command(&["ls", "--state", "/nonexistent"])
        .output()
        .await
        .unwrap();
    assert_eq!(unreadable.status.code(), Some(4));
    assert!(
        String::from_utf8(unreadable.stderr)
            .unwrap()
            .contains("/nonexistent/admin.token")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_becomes_the_real_one_and_passes_its_status_on() {
    let cloud = Cloud::open().await;
    cloud.ssh_is("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 37\n");
    assert_eq!(
        cloud.pwctl(&["create", "web", "--image", "debian"]).await.code,
        Some(0)
    );
    let ended = cloud.pwctl(&["ssh", "web", "--", "exit", "37"]).await;
    assert_eq!(ended.code, Some(37), "{ended:?}");
    let words: Vec<_> = ended.out.lines().collect();
    assert!(words.contains(&"StrictHostKeyChecking=yes"), "{words:?}");
    assert!(
        words
            .iter()
            .any(|word| word.starts_with("KnownHostsCommand=/bin/echo [172.30.0.3]:2222 ssh-ed25519 "))
    );
    assert_eq!(
        words.split_last_chunk::<4>().unwrap().1,
        &["--", "fred@172.30.0.3", "exit", "37"]
    );

    assert_eq!(cloud.pwctl(&["stop", "web"]).await.code, Some(0));
    let stopped = cloud.pwctl(&["ssh", "web"]).await;
    assert_eq!(stopped.code, Some(255), "{stopped:?}");
    assert!(
        stopped.err.contains("next: start it with: pwctl start web"),
        "{stopped:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_found_is_adopted_or_removed() {
    let cloud = Cloud::open().await;
    let (kept, spurned) = (VmId::from_random([3; 16]), VmId::from_random([4; 16]));
    cloud.host_finds(kept, "kept");
    cloud.host_finds(spurned, "spurned");
    while cloud.pwctl(&["host", "found", "-q"]).await.out.lines().count() < 2 {}
    let adopted = cloud.pwctl(&["host", "adopt", "kept", "--name", "mine"]).await;
    assert_eq!(
        (adopted.code, adopted.out.as_str()),
        (Some(0), "mine is adopted and RUNNING\n"),
        "{adopted:?}"
    );
    let removed = cloud.pwctl(&["host", "rm", &spurned.to_string()]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(cloud.pwctl(&["ls", "-q"]).await.out, "mine\n");
    assert_eq!(cloud.pwctl(&["host", "found", "box1", "-q"]).await.out, "");
    assert_eq!(cloud.pwctl(&["host", "rm", "spurned"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_commands_answer() {
    let cloud = Cloud::open().await;
    let images = cloud.pwctl(&["image", "ls"]).await.out;
    assert!(
        images.contains("sha256:070707070707  30M   box1   docker.io/library/debian:12"),
        "{images}"
    );
    let here = cloud.folder.path().display();
    assert_eq!(
        cloud.pwctl(&["image", "name", "oci:x:v1"]).await.out,
        format!("oci:{here}/x:v1\n")
    );
    assert_eq!(cloud.pwctl(&["image", "name", "a b"]).await.code, Some(2));
    let version: Value = serde_json::from_str(&cloud.pwctl(&["version", "--json"]).await.out).unwrap();
    assert_eq!(
        (version["server"]["api"].as_str(), version["pwctl"].is_string()),
        (Some("v1"), true)
    );
    // Nothing was released yet, so the oldest that is served is this one.
    assert_eq!(version["server"]["oldest_pwctl"], version["pwctl"]);
    let text = cloud.pwctl(&["version"]).await.out;
    assert!(text.trim_end().ends_with(" and later)"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_vm_and_says_how_to_go_on() {
    let cloud = Cloud::open().await;
    let mut command = cloud.command(&["create", "slow", "--image", "endless"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let builds = async {
        while !cloud
            .pwctl(&["get", "slow"])
            .await
            .out
            .contains("BUILDING_FILESYSTEM")
        {}
    };
    tokio::time::timeout(Duration::from_secs(20), builds)
        .await
        .unwrap();
    // It has asked, and listens for signals from then on at the latest.
    until_caught(child.id().unwrap(), 2).await;
    let pid = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("/bin/kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let told = lines.next_line().await.unwrap().unwrap();
    assert!(told.contains("stopped waiting for VM slow"), "{told}");
    assert!(
        cloud
            .pwctl(&["get", "slow"])
            .await
            .out
            .contains("BUILDING_FILESYSTEM")
    );
}

/// Waits until the process catches the signal.
pub(crate) async fn until_caught(pid: u32, signal: u32) {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
    };
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !caught() {
        assert!(
            tokio::time::Instant::now() < limit,
            "{pid} does not catch {signal}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_each_finished_status_leaves_a_line() {
    let cloud = Cloud::open().await;
    let line = format!("{} create web --image debian", env!("CARGO_BIN_EXE_pwctl"));
    let mut script = tokio::process::Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .env("PITWALL_STATE", cloud.folder.path());
    script.env("PITWALL_URL", cloud.url());
    let output = match script.output().await {
        Ok(output) => output,
        Err(error) if std::env::var_os("CI").is_none() => {
            return println!("skipped: no script(1) here: {error}");
        }
        Err(error) => panic!("script(1) is needed: {error}"),
    };
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\x1b[2K  INIT "), "{shown:?}");
    assert!(
        shown.ends_with("\r\x1b[2Kweb is RUNNING at 172.30.0.3; sign in with: pwctl ssh web\r\n"),
        "{shown:?}"
    );
}
