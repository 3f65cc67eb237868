//! Accounts on a real server: who signs in with what, and what becomes of it.

use std::fs;

use serde_json::Value;

use crate::cloud::{Cloud, Ended, KEY};
use crate::streams::terminal::Terminal;
use crate::streams::with_web;

async fn ok(cloud: &Cloud, words: &[&str]) -> String {
    let ended = cloud.pwctl(words).await;
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    ended.out
}

/// As `pwctl` of somebody whose contexts lie in this folder of the cloud's.
async fn of(cloud: &Cloud, contexts: &str, words: &[&str]) -> Ended {
    let mut command = cloud.command(words);
    command.env_remove("PITWALL_URL").env_remove("PITWALL_STATE");
    command.env("XDG_CONFIG_HOME", cloud.folder.path().join(contexts));
    command.output().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_signs_in_once_until_signed_out() {
    let cloud = Cloud::open().await;
    let code = ok(&cloud, &["user", "create", "ann"]).await;
    let sign_in = |contexts: &str| {
        let mut command = cloud.command_of("/usr/bin/setsid");
        command.args(["-cw", env!("CARGO_BIN_EXE_pwctl"), "login", &cloud.url()]);
        command.env("XDG_CONFIG_HOME", cloud.folder.path().join(contexts));
        let mut terminal = Terminal::of(command, crate::streams::terminal::SIZE);
        terminal.until("Code or token");
        terminal.press(&format!("{}\r", code.trim()));
        terminal
    };
    let mut terminal = sign_in("ann");
    terminal.until("signed in to");
    assert_eq!(terminal.ended().await, Some(0));
    let me: Value = serde_json::from_str(&of(&cloud, "ann", &["me", "--json"]).await.out).unwrap();
    assert_eq!(me["user"]["name"], "ann");
    let mut terminal = sign_in("again");
    assert_eq!(terminal.ended().await, Some(4), "{}", terminal.seen);

    // The token that was kept, so that it can be tried when pwctl has forgotten it.
    let kept = fs::read_to_string(cloud.folder.path().join("ann/pitwall/config.toml")).unwrap();
    let token = kept.split('"').find(|word| word.starts_with("pwt_")).unwrap();
    fs::write(cloud.folder.path().join("token"), token).unwrap();
    let with_file = async || {
        let mut command = cloud.command(&["me", "-q"]);
        command.env("PITWALL_TOKEN_FILE", cloud.folder.path().join("token"));
        Ended::from(command.output().await.unwrap())
    };
    assert_eq!(with_file().await.out, "ann\n");
    assert_eq!(of(&cloud, "ann", &["logout"]).await.code, Some(0));
    let refused = with_file().await;
    assert!(
        refused.code == Some(4) && refused.out.is_empty(),
        "the server has revoked it: {refused:?}"
    );
    let nobody = of(&cloud, "ann", &["me"]).await;
    assert!(
        nobody.code == Some(4) && nobody.err.contains("nobody is signed in"),
        "{nobody:?}"
    );
    // Nothing of it was written to where contexts lie by default.
    assert!(!cloud.folder.path().join(".config").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_owns_vms_goes_only_with_an_heir_and_only_where_that_is_meant() {
    let cloud = with_web().await;
    for words in [
        &["user", "create", "ann"][..],
        &["user", "create", "bob"],
        &["team", "create", "ops"],
        &["transfer", "web", "ann"],
    ] {
        ok(&cloud, words).await;
    }
    for words in [&["user", "rm", "bob"][..], &["team", "rm", "ops"]] {
        let unasked = cloud.pwctl(words).await;
        assert!(
            unasked.code == Some(2) && unasked.err.contains("--yes"),
            "{words:?}: {unasked:?}"
        );
    }
    for words in [&["user", "rm", "ann"][..], &["user", "rm", "ann", "--yes"]] {
        let owns = cloud.pwctl(words).await;
        assert!(
            owns.code == Some(5) && owns.err.contains("--transfer-to"),
            "{words:?}: {owns:?}"
        );
    }
    let words = ["user", "rm", "ann", "--transfer-to", "ops"];
    let dry = ok(&cloud, &[&words[..], &["--yes", "--dry-run"]].concat()).await;
    assert_eq!(dry, "web.ann would be ops's\nann would go\n");
    let dry = ok(&cloud, &["team", "rm", "ops", "--dry-run", "-q"]).await;
    assert_eq!(dry, "ops\n");
    let mut terminal = Terminal::start(&cloud, &words);
    terminal.until("Remove ann, and give web.ann to ops? [y/N] ");
    terminal.press("n\r");
    assert_eq!(terminal.ended().await, Some(1));
    ok(&cloud, &["get", "web.ann"]).await;
    ok(&cloud, &[&words[..], &["--yes"]].concat()).await;
    assert_eq!(cloud.pwctl(&["user", "rm", "ann", "--yes"]).await.code, Some(3));
    ok(&cloud, &["get", "web.ops"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_ends_with_its_own_code() {
    let cloud = Cloud::open().await;
    ok(&cloud, &["user", "create", "ann"]).await;
    ok(&cloud, &["quota", "set", "ann", "--vms", "1"]).await;
    let create = async |name: &str| {
        let words = ["create", name, "--image", "debian", "--owner", "ann", "--no-wait"];
        cloud.pwctl(&words).await
    };
    assert_eq!(create("one").await.code, Some(0));
    let refused = create("two").await;
    assert!(
        refused.code == Some(6) && refused.err.contains("quota"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_has_the_keys_that_it_is_given_and_no_others() {
    const SECOND: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw second";
    const ACCOUNTS: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaMDEyMzQ1 account";
    let cloud = Cloud::open().await;
    for (file, key) in [
        ("first.pub", KEY),
        ("second.pub", SECOND),
        ("account.pub", ACCOUNTS),
    ] {
        fs::write(cloud.folder.path().join(file), key).unwrap();
    }
    ok(&cloud, &["key", "add", "account.pub"]).await;
    let given = ["--image", "debian", "--key", "first.pub", "--key", "second.pub"];
    let make = async |name: &str, more: &[&str]| {
        ok(&cloud, &[&["create", name], &given[..], more].concat()).await;
        cloud.keys_of(name)
    };
    assert_eq!(make("given", &["--no-user-keys"]).await, [KEY, SECOND]);
    let all = make("all", &[]).await;
    assert!(all.len() == 3 && all.iter().any(|key| key == ACCOUNTS), "{all:?}");
    let none = [
        "create",
        "none",
        "--image",
        "debian",
        "--no-user-keys",
        "--key",
        "empty.pub",
    ];
    fs::write(cloud.folder.path().join("empty.pub"), "\n").unwrap();
    assert_eq!(cloud.pwctl(&none).await.code, Some(2));
}
