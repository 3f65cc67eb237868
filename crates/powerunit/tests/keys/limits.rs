//! Those who do not get in are slowed down, and keep nobody else out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::support::ssh::{Client, KeyPair};
use crate::{assert_refused, support};

/// What the issue promises, with a margin for a machine that builds at the same time.
const OWNER_WITHIN: Duration = Duration::from_secs(10);

/// While the owner comes and goes, several answers to each stranger.
const WINDOW: Duration = Duration::from_secs(20);

fn logs_in(owner: &Client) -> Duration {
    let start = Instant::now();
    let output = owner.run("echo in");
    let took = start.elapsed();
    assert_eq!(output.stdout, b"in\n", "after {took:?}: {output:?}");
    assert!(took < OWNER_WITHIN, "{took:?}");
    took
}

/// A flag that is raised at the end of what holds this, also where an assertion ends it.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_owner_gets_in_while_another_fails_a_hundred_times_a_minute() {
    let Some(server) = Server::start() else { return };
    let stranger = KeyPair::generate(server.folder.path(), "stranger");
    // Made once: each new one writes the file of host keys that the others read.
    let owner = server.client();
    let client = owner.with_key(&stranger);
    let (ending, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        let _end_with_me = Raised(&ending);
        // Each waits out its delay, so nine make a hundred a minute when each answer takes five seconds, and more of them
        // do on a machine that builds at the same time.
        for _ in 0..16 {
            scope.spawn(|| {
                while !ending.load(Ordering::Relaxed) {
                    assert_refused(&client.run("true"), "the stranger");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let enough = || (failed.load(Ordering::Relaxed) >= 40).then_some(());
        support::wait_for("forty failures", Duration::from_secs(90), enough);
        let (begin, before) = (Instant::now(), failed.load(Ordering::Relaxed));
        let mut times = Vec::new();
        while begin.elapsed() < WINDOW {
            times.push(logs_in(&owner));
        }
        let failures = failed.load(Ordering::Relaxed) - before;
        let per_minute = failures as f64 * 60.0 / begin.elapsed().as_secs_f64();
        assert!(per_minute >= 100.0, "only {per_minute:.0} failures a minute");
        let longest = times.iter().max();
        let start = Instant::now();
        assert_refused(&client.run("true"), "the stranger");
        slowest = start.elapsed();
        eprintln!(
            "the owner got in {} times within {longest:.2?}, the stranger's answer took {slowest:.2?}, \
             {per_minute:.0} failures a minute",
            times.len()
        );
    });
    assert!(slowest > Duration::from_secs(4), "{slowest:?}");
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");
}

#[test]
fn many_wrong_keys_of_one_agent_delay_the_right_one_little() {
    let Some(server) = Server::start() else { return };
    let wrong: Vec<_> = (0..4)
        .map(|number| KeyPair::generate(server.folder.path(), &format!("wrong-{number}")))
        .map(|key| format!("IdentityFile={}", key.path().display()))
        .collect();
    let right = format!("IdentityFile={}", server.key.path().display());
    let first = KeyPair::generate(server.folder.path(), "wrong");
    let options: Vec<&str> = wrong.iter().chain([&right]).flat_map(|key| ["-o", key]).collect();
    let start = Instant::now();
    let client = server.client().with_key(&first);
    let output = client.command(&options).arg("echo in").output().unwrap();
    let took = start.elapsed();
    eprintln!("five wrong keys took {took:.2?}");
    assert_eq!(output.stdout, b"in\n", "{output:?}");
    // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s.
    assert!(took > Duration::from_secs(3) && took < OWNER_WITHIN, "{took:?}");
}

/// Connects and reads the server's greeting.
fn knock(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-2.0-");
    stream
}

#[test]
fn who_only_holds_connections_keeps_nobody_out() {
    let Some(server) = Server::start() else { return };
    let held: Vec<_> = (0..128).map(|_| knock(&server)).collect();
    let more: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap())
        .collect();
    eprintln!("the owner got in after {:.2?}", logs_in(&server.client()));
    drop((held, more));
}

#[test]
fn who_sends_much_before_saying_who_it_is_is_cut() {
    let Some(server) = Server::start() else { return };
    // SSH_MSG_IGNORE (RFC 4253, 11.2), as often as the socket takes it.
    let mut packet = vec![0, 0, 0x80, 4, 4, 2, 0, 0, 0x7f, 0xf5];
    packet.resize(4 + 0x8004, 0);
    let mut stream = knock(&server);
    stream.write_all(b"SSH-2.0-flood\r\n").unwrap();
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&packet).is_ok() {
        sent += packet.len();
    }
    eprintln!("cut after at most {} KiB", sent >> 10);
    // What the sockets of the two ends hold comes on top of the limit.
    assert!(sent < 32 << 20, "{sent}");
    let mut huge = knock(&server);
    huge.write_all(b"SSH-2.0-huge\r\n\x00\x05\x00\x00\x04\x02")
        .unwrap();
    let mut rest = Vec::new();
    let ended = huge.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    logs_in(&server.client());
}
