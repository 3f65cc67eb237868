//! A host of the test's own: the test runs itself again in a fresh network namespace, with "outside" behind a cable.
//!
//! ```text
//!   outside 192.0.2.1 ── eth0 192.0.2.2  host: this process  pwbr0 ── pw-0-3 ═ pump ═ eth0  VM: a namespace
//! ```
//!
//! A namespace lives as long as a process in it, so nothing has to be cleaned up: not even after a crash.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's own host may stop the test"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const INSIDE: &str = "PITWALL_TEST_INSIDE";

/// A packet that is let through needs microseconds; one that is dropped, this long.
const PATIENCE: Duration = Duration::from_millis(700);

/// Runs the body as root in a network namespace of its own.
pub(crate) fn in_fresh_namespace(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        return runtime.unwrap().block_on(body);
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "network tests need root"
        );
        println!("skipped: network tests need root");
        return;
    }
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
}

/// Runs a program that must succeed, and gives its output.
pub(crate) fn run(words: &str) -> String {
    let mut parts = words.split(' ');
    let output = Command::new(parts.next().unwrap())
        .args(parts)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words}");
    String::from_utf8(output.stdout).unwrap()
}

/// Another network namespace, held by a process that waits.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let namespace = Self { holder };
        namespace.run("ip link set lo up");
        namespace
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a program in it.
    pub(crate) fn run(&self, words: &str) -> String {
        run(&format!("nsenter --net=/proc/{}/ns/net {words}", self.pid()))
    }

    /// Calls a function in it, on a thread of its own.
    pub(crate) fn call<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    /// Starts a service in it, on all addresses.
    pub(crate) fn serves(&self) -> u16 {
        self.call(serve)
    }

    /// How a connection from it looks to the service at the other end; none if there is no connection.
    pub(crate) fn connects(&self, to: impl Into<Ipv4Addr>, port: u16) -> Option<String> {
        let to = to.into();
        self.call(move || connect(to, port))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = self.holder.kill().and_then(|()| self.holder.wait()) {
            println!("a namespace may be left: {error}");
        }
    }
}

/// Starts a service that tells everybody their own address; gives its port.
pub(crate) fn serve() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let told = stream
                .peer_addr()
                .and_then(|peer| stream.write_all(peer.ip().to_string().as_bytes()));
            if told.is_err() {
                println!("a client left early");
            }
        }
    });
    port
}

pub(crate) fn connect(to: Ipv4Addr, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((to, port)), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).ok()?;
    Some(seen)
}

/// Gives this namespace a way outside, and the outside.
pub(crate) fn host_with_outside() -> Namespace {
    let outside = Namespace::new();
    run("ip link set lo up");
    // Where it is on, frames between two ports of a bridge pass the packet rules too; they must be stopped without.
    if std::fs::exists("/proc/sys/net/bridge/bridge-nf-call-iptables").unwrap() {
        run("sysctl -qw net.bridge.bridge-nf-call-iptables=0");
    }
    run(&format!(
        "ip link add eth0 type veth peer name eth0 netns {}",
        outside.pid()
    ));
    run("ip addr add 192.0.2.2/24 dev eth0");
    run("ip link set eth0 up");
    outside.run("ip addr add 192.0.2.1/24 dev eth0");
    outside.run("ip link set eth0 up");
    run("ip route add default via 192.0.2.1");
    outside
}

/// What other programs on the host would notice.
pub(crate) fn picture() -> String {
    let mut picture = String::new();
    let links = run("ip -o link");
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    picture.push_str(&names.collect::<Vec<_>>().join(" "));
    for command in [
        "ip neigh show nud permanent",
        "nft -s list ruleset",
        "iptables-nft-save",
        "iptables-legacy-save",
    ] {
        let text = run(command);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| line.split(" [").next().unwrap_or_default());
        picture.push_str(&format!(
            "\n--- {command}\n{}",
            lines.collect::<Vec<_>>().join("\n")
        ));
    }
    let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    picture.push_str(&format!("\n--- forwarding {}", forwarding.trim()));
    picture
}

/// Panics with both, if they differ.
pub(crate) fn same(before: &str, after: &str) {
    if before != after {
        panic!("the host was\n{before}\n\nand is now\n{after}");
    }
}
