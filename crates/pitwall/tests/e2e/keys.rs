//! Who may sign in: keys that change while a VM runs, certificates of an authority, keys that came with the image.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::json;

use crate::env::{Host, field, run, text};
use crate::registry::{busybox_root, configured};

/// The private file of a new key pair.
fn key_pair(directory: &Path, name: &str) -> PathBuf {
    let file = directory.join(name);
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path(&file)],
    );
    file
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn public(key: &Path) -> String {
    path(&key.with_extension("pub"))
}

fn fingerprint(key: &Path) -> String {
    let listed = run("ssh-keygen", &["-l", "-f", &public(key)]);
    listed.split(' ').nth(1).unwrap().to_owned()
}

/// Signs the public half of a key for a login; `ssh` shows the certificate beside the key by itself.
fn certify(authority: &Path, key: &Path, login: &str) {
    let words = [
        "-q",
        "-s",
        &path(authority),
        "-I",
        "e2e",
        "-n",
        login,
        "-V",
        "+1h",
        &public(key),
    ];
    run("ssh-keygen", &words);
}

/// The line that people paste, with this key in the place of the made one.
fn line_with(host: &Host, vm: &str, key: &Path) -> String {
    let line = host.pwctl_ok(&["ssh-command", vm]);
    let made = path(&host.state().join("id_pitwall"));
    assert!(line.contains(&made), "{line}");
    line.trim().replacen(&made, &path(key), 1)
}

fn sign_in(host: &Host, vm: &str, key: &Path) -> Output {
    let script = format!("exec {} 'echo in'", line_with(host, vm, key));
    let mut command = host.command("bash");
    command.args(["-c", &script]).env_remove("SSH_AUTH_SOCK");
    command.stdin(Stdio::null()).output().unwrap()
}

fn assert_opens(host: &Host, vm: &str, key: &Path) {
    let output = sign_in(host, vm, key);
    assert_eq!(output.stdout, b"in\n", "{}: {}", path(key), text(&output));
}

fn assert_refused(host: &Host, vm: &str, key: &Path) {
    let output = sign_in(host, vm, key);
    let why = text(&output);
    assert_eq!(output.status.code(), Some(255), "{}: {why}", path(key));
    assert!(
        why.contains("Permission denied (publickey)"),
        "{}: {why}",
        path(key)
    );
}

#[test]
fn keys_change_while_a_session_is_open_and_others_count_if_asked_for() {
    let host = Host::up();
    let directory = tempfile::tempdir().unwrap();
    let baked = key_pair(directory.path(), "baked");
    let image = with_key(&directory.path().join("layout"), &baked);
    let [authority, other_authority, guest, stranger] =
        ["authority", "other-authority", "guest", "stranger"].map(|name| key_pair(directory.path(), name));
    let create = |name: &str, options: &[&str]| {
        let base = [
            "create", name, "--image", &image, "--memory", "128M", "--disk", "128M",
        ];
        host.pwctl_ok(&[&base, options].concat());
    };
    create("plain", &[]);
    keys_change(&host, directory.path());
    assert_refused(&host, "plain", &baked);

    create("open", &["--image-keys", "--ssh-ca", &public(&authority)]);
    assert_opens(&host, "open", &baked);
    assert_refused(&host, "open", &guest);
    let login = field(&host.get("open"), "login");
    certify(&authority, &guest, &login);
    certify(&other_authority, &stranger, &login);
    assert_opens(&host, "open", &guest);
    assert_refused(&host, "open", &stranger);
    assert_refused(&host, "plain", &guest);
    host.pwctl_ok(&["rm", "plain", "open"]);
    host.assert_no_vm_left();
}

/// A busybox whose root has this key.
fn with_key(directory: &Path, key: &Path) -> String {
    let root = busybox_root(directory);
    let folder = root.join("root/.ssh");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::copy(public(key), folder.join("authorized_keys")).unwrap();
    for strict in ["root", "root/.ssh"] {
        fs::set_permissions(root.join(strict), fs::Permissions::from_mode(0o700)).unwrap();
    }
    configured(directory, &json!({}), &[root])
}

/// A second key comes and the first goes, and the session that the first one opened stays.
fn keys_change(host: &Host, directory: &Path) {
    let first = host.state().join("id_pitwall");
    let second = key_pair(directory, "second");
    let script = format!(
        "exec {} 'while read -r line; do echo \"heard $line\"; done'",
        line_with(host, "plain", &first)
    );
    let mut session = host
        .command("bash")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut says = session.stdin.take().unwrap();
    let mut heard = BufReader::new(session.stdout.take().unwrap()).lines();
    let mut echo = |word: &str| {
        writeln!(says, "{word}").unwrap();
        assert_eq!(heard.next().unwrap().unwrap(), format!("heard {word}"));
    };
    echo("before");
    assert_refused(host, "plain", &second);
    let listed = host.pwctl_ok(&["keys", "plain", "--add", &public(&second), "-q"]);
    assert_eq!(
        listed,
        format!("{}\n{}\n", fingerprint(&first), fingerprint(&second))
    );
    assert_opens(host, "plain", &second);
    assert_opens(host, "plain", &first);
    echo("with both");
    host.pwctl_ok(&["keys", "plain", "--remove", &fingerprint(&first)]);
    assert_refused(host, "plain", &first);
    assert_opens(host, "plain", &second);
    echo("after its own key went");
    drop(says);
    assert!(session.wait().unwrap().success());
    host.pwctl_ok(&[
        "keys",
        "plain",
        "--add",
        &public(&first),
        "--remove",
        &public(&second),
    ]);
    assert_opens(host, "plain", &first);
    assert_refused(host, "plain", &second);
}
