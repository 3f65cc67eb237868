//! The SSH server as an ordinary process, with the real `ssh` client: no VM, no root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod barred;
mod clients;
mod forwarding;
#[path = "support/master.rs"]
mod master;
#[path = "support/memory.rs"]
mod memory;
#[path = "support/root.rs"]
mod root;
#[path = "support/script.rs"]
mod script;
#[path = "support/server.rs"]
mod server;
mod sessions;
mod sftp;
mod support;
mod terminal;
#[path = "support/words.rs"]
mod words;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use memory::resident_kib;
use server::Server;
use support::ssh::{Client, KeyPair};
use support::wait_for;
use wire::guest::*;

/// Bytes that no two places of have alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8))
        .flat_map(|_| next())
        .take(length)
        .collect()
}

#[test]
fn a_status_arrives_as_it_is_and_streams_stay_apart() {
    let Some(server) = Server::start() else { return };
    let ssh = server.client();
    assert_eq!(ssh.run("exit 37").status.code(), Some(37));
    let both = ssh.run("echo out; echo err >&2");
    assert_eq!(
        (both.stdout.as_slice(), both.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(
        ssh.run("kill -TERM $$").status.code(),
        Some(255),
        "a signal is no exit status"
    );
    assert_eq!(ssh.text("echo $FROM_IMAGE"), "yes");
    assert_eq!(
        ssh.text("printf %s \"$SSH_CONNECTION\" | cut -d' ' -f3,4"),
        format!("127.0.0.1 {}", server.port)
    );
    let shell = ssh
        .command(&["-T"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .as_ref()
        .unwrap()
        .write_all(b"echo $0; exit 5\n")
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(
        output.stdout.starts_with(b"-"),
        "a shell without a command is a login shell: {output:?}"
    );
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn the_first_question_without_a_key_is_answered_at_once() {
    let Some(server) = Server::start() else { return };
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            assert!(server.client().run("true").status.success());
            start.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_millis(500)), "{best:?}");
}

#[test]
fn a_wrong_key_and_a_wrong_host_key_are_refused() {
    let Some(server) = Server::start() else { return };
    let other = KeyPair::generate(server.folder.path(), "other");
    let refused = server.client().with_key(&other).run("true");
    assert_eq!(refused.status.code(), Some(255));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Permission denied (publickey)"),
        "{refused:?}"
    );
    let impostor = Client::new(server.folder.path(), &server.key, &other.public(), server.port);
    assert!(String::from_utf8_lossy(&impostor.run("true").stderr).contains("Host key verification failed"));
}

#[test]
fn keys_are_renewed_while_a_session_stays_open() {
    let Some(mut server) = Server::start() else { return };
    let ssh = server.client();
    let mut open = ssh
        .command(&[])
        .arg("echo open; cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    open.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let new = KeyPair::generate(server.folder.path(), "new");
    let ready = server.configure(2, vec!["not a key".into(), new.public()]);
    assert!(
        matches!(
            ready,
            GuestFrame::Ready(Ready {
                config_revision: 2,
                ..
            })
        ),
        "{ready:?}"
    );
    assert_eq!(ssh.run("true").status.code(), Some(255));
    assert!(ssh.with_key(&new).run("true").status.success());
    open.stdin.take().unwrap().write_all(b"still here").unwrap();
    assert_eq!(open.wait_with_output().unwrap().stdout, b"still here");
}

#[test]
fn a_bad_host_key_is_reported_and_the_old_one_stays() {
    let Some(mut server) = Server::start() else { return };
    let answer = server.configure_ssh(2, |ssh| ssh.host_key = HostKey::from_pem("nonsense".into()));
    assert!(
        matches!(&answer, GuestFrame::Failed { code, .. } if code == "host_key_invalid"),
        "{answer:?}"
    );
    assert!(server.client().run("true").status.success());
}

#[test]
fn twenty_megabytes_come_back_as_they_were() {
    let Some(server) = Server::start() else { return };
    let sent = noise(20_000_000);
    let mut child = server
        .client()
        .command(&[])
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&sent).unwrap();
            drop(stdin);
        });
        let mut received = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
        received
    });
    assert!(child.wait().unwrap().success());
    assert!(received == sent, "{} bytes came back", received.len());
}

#[test]
fn a_program_that_does_not_read_costs_little_memory() {
    let Some(server) = Server::start() else { return };
    let mut child = server
        .client()
        .command(&[])
        .arg("sleep 100")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        let piece = vec![0; 1 << 20];
        while stdin.write_all(&piece).is_ok() {}
    });
    let mut last = 0;
    wait_for("the flood to stand still", Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut last, resident_kib(server.child.id()));
        (before == last).then_some(())
    });
    assert!(last < 24 << 10, "{last} KiB for a program that reads nothing");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_that_does_not_read_costs_little_memory() {
    let Some(server) = Server::start() else { return };
    let mut child = server
        .client()
        .command(&[])
        .arg("cat /dev/zero")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    wait_for("the flood to stand still", Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut last, resident_kib(server.child.id()));
        (before == last).then_some(())
    });
    assert!(last < 24 << 10, "{last} KiB for a client that reads nothing");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn one_connection_carries_several_sessions() {
    let Some(server) = Server::start() else { return };
    let socket = server.folder.path().join("mux");
    let path = format!("ControlPath={}", socket.display());
    let mut master = server
        .client()
        .command(&["-M", "-N", "-o", &path])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the master connection", Duration::from_secs(10), || {
        socket.exists().then_some(())
    });
    let through = ["-o", path.as_str(), "-o", "ControlMaster=no"];
    let mut waiting = server
        .client()
        .command(&through)
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for status in [3, 4] {
        let code = server
            .client()
            .command(&through)
            .arg(format!("exit {status}"))
            .status()
            .unwrap()
            .code();
        assert_eq!(code, Some(status));
    }
    waiting.stdin.take().unwrap().write_all(b"patient").unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().stdout, b"patient");
    let code = server
        .client()
        .command(&["-O", "exit", "-o", &path])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(code.success());
    master.wait().unwrap();
}

#[test]
fn a_lost_connection_hangs_up_the_program() {
    let Some(server) = Server::start() else { return };
    let mark = server.folder.path().join("hung-up");
    let command = format!(
        "trap 'touch {}; exit' HUP; echo armed; for i in $(seq 200); do sleep 0.05; done",
        mark.display()
    );
    let mut child = server
        .client()
        .command(&[])
        .arg(command)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut armed = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut armed).unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    wait_for("SIGHUP", Duration::from_secs(10), || mark.exists().then_some(()));
}

#[test]
fn what_is_not_offered_is_refused_and_the_connection_lives() {
    let Some(server) = Server::start() else { return };
    let status = server
        .client()
        .command(&["-s"])
        .arg("no-such-subsystem")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_ne!(status.code(), Some(0));
    assert_eq!(
        server.client().run("no-such-program-here").status.code(),
        Some(127)
    );
}
