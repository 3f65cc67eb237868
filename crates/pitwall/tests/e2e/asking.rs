//! What is asked of a VM beside power, and who may ask: with real guests.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::{Host, debian, field, until};
use crate::person::Person;

/// How long a change of rights may take to reach a guest.
const AT_ONCE: Duration = Duration::from_secs(2);

fn boot_id(host: &Host) -> String {
    host.ssh_ok("one", "cat /proc/sys/kernel/random/boot_id")
}

fn settled(host: &Host, vm: &str) -> Value {
    until("the host has settled it", Duration::from_secs(30), || {
        let seen = host.get(vm);
        (seen["generation"] == seen["settled_generation"]).then_some(seen)
    })
}

#[test]
fn restart_resize_and_rebuild_are_done_once_and_an_idle_vm_stops() {
    let mut host = Host::up();
    host.ask(
        "POST",
        "/v1/vms",
        &json!({
            "name": "idle", "image": debian(), "memory_bytes": 256 << 20, "disk_bytes": 256 << 20,
            "no_ssh_keys": true, "service": { "enabled": false }, "idle_after_seconds": 10,
        }),
    );
    host.create_debian("one");
    let made = host.get("one");
    // Whatever becomes of the VM: who trusts its key today trusts it tomorrow.
    let line = host.pwctl_ok(&["ssh-command", "one"]);
    restarts(&mut host);
    resizes(&host);
    rebuilds(&host);
    let now = settled(&host, "one");
    for same in ["id", "address", "host_key"] {
        assert_eq!(field(&made, same), field(&now, same));
    }
    assert_eq!(host.pwctl_ok(&["ssh-command", "one"]), line);

    let idle = host.wait_for_status("idle", "STOPPED");
    assert_eq!(field(&idle, "power"), "off");
    host.pwctl_ok(&["rm", "one", "idle"]);
    host.assert_no_vm_left();
}

fn restarts(host: &mut Host) {
    let first = boot_id(host);
    host.ssh_ok("one", "echo kept > /root/file; sync");
    host.pwctl_ok(&["restart", "one"]);
    let second = boot_id(host);
    assert_ne!(first, second);
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
    // The same plan comes again when pitwall does.
    host.kill();
    host.start(&["up"]);
    host.wait_until_up();
    host.wait_for_status("one", "RUNNING");
    settled(host, "one");
    assert_eq!(boot_id(host), second, "it was booted once more");
}

fn resizes(host: &Host) {
    let blocks = |host: &Host| -> u64 {
        let size = host.ssh_ok("one", "df --output=size / | tail -1");
        size.trim().parse().unwrap()
    };
    let before = blocks(host);
    let larger = json!({
        "cpus": 2, "memory_bytes": 384 << 20, "disk_bytes": 1024 << 20, "restart": true,
    });
    host.ask("POST", "/v1/vms/one/resize", &larger);
    host.pwctl_ok(&["wait", "one"]);
    assert_eq!(host.ssh_ok("one", "nproc"), "2\n");
    let memory = host.ssh_ok("one", "grep MemTotal /proc/meminfo | tr -dc 0-9");
    let memory: u64 = memory.parse().unwrap();
    assert!((300 << 10..384 << 10).contains(&memory), "{memory} KiB");
    let after = blocks(host);
    assert!(
        after - before > 400 << 10,
        "from {before} to {after} blocks of 1 KiB"
    );
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
}

fn rebuilds(host: &Host) {
    let boot = boot_id(host);
    host.ask("POST", "/v1/vms/one/rebuild", &json!({}));
    host.pwctl_ok(&["wait", "one"]);
    let gone = host.ssh(
        "one",
        "test ! -e /root/file && cat /proc/sys/kernel/random/boot_id",
    );
    assert!(gone.status.success(), "{}", crate::env::text(&gone));
    assert_ne!(String::from_utf8_lossy(&gone.stdout), boot);
    let warned = String::from_utf8_lossy(&gone.stderr);
    assert!(!warned.to_lowercase().contains("host key"), "{warned}");
}

/// A line that signs in with this key.
fn line_with(host: &Host, key: &Path) -> String {
    let line = host.pwctl_ok(&["ssh-command", "one", "-i", &key.display().to_string()]);
    line.trim().to_owned()
}

fn signs_in(host: &Host, line: &str) -> bool {
    let script = format!("exec {line} true");
    let mut command = host.command("bash");
    command.args(["-c", &script]).env_remove("SSH_AUTH_SOCK");
    let output = command.stdin(Stdio::null()).output().unwrap();
    output.status.success()
}

/// An SSH session that says back what it is told.
struct Session {
    client: Child,
    says: ChildStdin,
    heard: Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn open(host: &Host, key: &Path) -> Self {
        let echo = "while read -r line; do echo \"heard $line\"; done";
        let script = format!("exec {} '{echo}'", line_with(host, key));
        let mut command = host.command("bash");
        command
            .args(["-c", &script])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let says = client.stdin.take().unwrap();
        let heard = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut session = Self { client, says, heard };
        session.echoes();
        session
    }

    fn echoes(&mut self) {
        writeln!(self.says, "word").unwrap();
        assert_eq!(self.heard.next().unwrap().unwrap(), "heard word");
    }

    /// Its standard input stays open, so only the guest can end it.
    fn ends_at_once(mut self) {
        until("the session ends", AT_ONCE, || self.client.try_wait().unwrap());
    }

    fn leaves(mut self) {
        drop(self.says);
        assert!(self.client.wait().unwrap().success());
    }
}

#[test]
fn an_account_key_opens_a_running_vm_and_a_right_that_ends_ends_sessions() {
    let host = Host::up();
    host.create_debian("one");
    let ann = Person::new(&host, "ann");
    let bob = Person::new(&host, "bob");
    for person in [&ann, &bob] {
        let unknown = person.pwctl(&["get", "one"]);
        assert_eq!(unknown.status.code(), Some(3), "{}", crate::env::text(&unknown));
    }
    host.pwctl_ok(&["share", "one", "ann"]);
    host.pwctl_ok(&["share", "one", "bob"]);
    key_opens(&host, &ann);
    bob.pwctl_ok(&["key", "add", &public(&bob.key())]);
    until("bob's key opens it", AT_ONCE * 5, || {
        signs_in(&host, &line_with(&host, &bob.key())).then_some(())
    });

    let mut admins = Session::open(&host, &host.state().join("id_pitwall"));
    let of_ann = Session::open(&host, &ann.key());
    let mut of_bob = Session::open(&host, &bob.key());
    host.pwctl_ok(&["unshare", "one", "ann"]);
    of_ann.ends_at_once();
    of_bob.echoes();
    host.pwctl_ok(&["user", "disable", "bob"]);
    of_bob.ends_at_once();
    admins.echoes();
    admins.leaves();
    for person in [&ann, &bob] {
        assert!(!signs_in(&host, &line_with(&host, &person.key())));
    }
    host.pwctl_ok(&["rm", "one"]);
    host.assert_no_vm_left();
}

/// A key is added to an account; a login that begins two seconds later at most is let in.
fn key_opens(host: &Host, ann: &Person<'_>) {
    let line = line_with(host, &ann.key());
    assert!(!signs_in(host, &line), "nobody has added it");
    ann.pwctl_ok(&["key", "add", &public(&ann.key())]);
    let added = Instant::now();
    loop {
        let begun = added.elapsed();
        assert!(begun < AT_ONCE, "not within {AT_ONCE:?}: the key opens it");
        if signs_in(host, &line) {
            return;
        }
    }
}

fn public(key: &Path) -> String {
    key.with_extension("pub").display().to_string()
}
