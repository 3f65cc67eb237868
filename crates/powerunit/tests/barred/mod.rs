//! Keys that are barred: their connections end within 2 s with all that goes through them, and nobody else's do. And what
//! the server tells of its use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use wire::guest::{GuestFrame, Ready, Usage};

use crate::master::Master;
use crate::server::Server;
use crate::support::ssh::KeyPair;
use crate::support::wait_for;

const WITHIN: Duration = Duration::from_secs(2);

/// A program in the VM, or a subsystem, with a pipe to and from it.
struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// One that runs `cat`, and is up.
    fn cat(command: &mut Command) -> Self {
        let mut session = Self::start(command.arg("exec cat"));
        assert!(session.echoes());
        session
    }

    fn echoes(&mut self) -> bool {
        let mut line = String::new();
        self.stdin.write_all(b"hello\n").is_ok()
            && self.stdout.read_line(&mut line).is_ok()
            && line == "hello\n"
    }

    fn ends_by(&mut self, what: &str, limit: Instant) {
        let left = limit.saturating_duration_since(Instant::now());
        wait_for(what, left, || self.child.try_wait().unwrap());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fingerprint(key: &KeyPair) -> String {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(key.path())
        .output()
        .unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

fn bar(server: &mut Server, revision: u64, keys: Vec<String>, barred: Vec<String>) {
    let answer = server.configure_ssh(revision, |ssh| {
        ssh.authorized_keys = keys;
        ssh.barred = barred;
    });
    assert!(
        matches!(answer, GuestFrame::Ready(Ready { config_revision, .. }) if config_revision == revision)
    );
}

/// What the server says of its use, until this holds of it.
fn usage(server: &mut Server, holds: impl Fn(&Usage) -> bool) -> Usage {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "it never is so");
        if let GuestFrame::Usage(usage) = server.hear()
            && holds(&usage)
        {
            return usage;
        }
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn everything_of_a_barred_key_ends_within_two_seconds_and_nothing_else() {
    let Some(mut server) = Server::start() else { return };
    let other = KeyPair::generate(server.folder.path(), "other");
    let keys = vec![server.key.public(), other.public()];
    bar(&mut server, 2, keys.clone(), vec![]);
    let mut stays = Session::cat(&mut server.client().with_key(&other).command(&[]));
    // A plain session, one on a terminal, and one connection with a session, a file transfer and a forwarded port.
    let mut plain = Session::cat(&mut server.client().command(&[]));
    let mut terminal = Session::start(server.client().command(&["-tt"]).arg("echo up; exec sleep 1000"));
    let mut line = String::new();
    terminal.stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "up");
    let (forwarded, echo) = (free_port(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let target = format!("{forwarded}:127.0.0.1:{}", echo.local_addr().unwrap().port());
    let master = Master::start(server.client(), "fred", &["-L", &target]);
    let mut through = Session::cat(&mut master.command(&[]));
    let mut files = Session::start(master.command(&["-s"]).arg("sftp"));
    files.stdin.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).unwrap();
    let mut version = [0; 9];
    files.stdout.read_exact(&mut version).unwrap();
    assert_eq!(version[4..], [2, 0, 0, 0, 3]);
    let mut near = TcpStream::connect(("127.0.0.1", forwarded)).unwrap();
    let (mut far, _) = echo.accept().unwrap();
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();

    let mine = vec![fingerprint(&server.key)];
    // The key is still among those that open the VM; that it is barred counts for more.
    let limit = Instant::now() + WITHIN;
    bar(&mut server, 3, keys.clone(), mine);
    plain.ends_by("the plain session", limit);
    terminal.ends_by("the terminal", limit);
    through.ends_by("the session of the shared connection", limit);
    files.ends_by("the file transfer", limit);
    far.set_read_timeout(Some(limit.saturating_duration_since(Instant::now())))
        .unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the forwarded connection");
    assert!(stays.echoes());
    assert_eq!(server.client().run("true").status.code(), Some(255));
    assert!(server.client().with_key(&other).run("true").status.success());

    bar(&mut server, 4, keys, vec![]);
    assert!(
        server.client().run("true").status.success(),
        "it is barred no more"
    );
    assert!(stays.echoes());
}

#[test]
fn a_key_that_is_only_taken_away_leaves_its_open_sessions_alone() {
    let Some(mut server) = Server::start() else { return };
    let mut session = Session::cat(&mut server.client().command(&[]));
    bar(&mut server, 2, vec![], vec![]);
    assert_eq!(server.client().run("true").status.code(), Some(255));
    assert!(session.echoes());
}

#[test]
fn a_barred_connection_ends_although_its_program_and_its_client_stand_still() {
    let Some(mut server) = Server::start() else { return };
    // The program reads nothing and prints more than its client takes.
    let mut stuck = Session::start(server.client().command(&[]).arg("yes; sleep 1000"));
    stuck.stdout.read_line(&mut String::new()).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(stuck.child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    server.configure_all(2, |config| config.usage_every = Some(Duration::from_secs(1)));
    assert_eq!(usage(&mut server, |_| true).sessions, 1);
    let barred = vec![fingerprint(&server.key)];
    let limit = Instant::now() + WITHIN;
    server.configure_all(3, |config| {
        config.ssh.barred = barred;
        config.usage_every = Some(Duration::from_secs(1));
    });
    usage(&mut server, |usage| usage.sessions == 0);
    assert!(Instant::now() < limit);
}

#[test]
fn who_asks_hears_of_sessions_that_are_open_and_that_have_been() {
    let Some(mut server) = Server::start() else { return };
    let keys = vec![server.key.public()];
    server.configure_all(2, |config| {
        config.ssh.authorized_keys = keys;
        config.usage_every = Some(Duration::from_secs(1));
    });
    let first = usage(&mut server, |_| true);
    assert_eq!((first.sessions, first.logins), (0, 0));
    let session = Session::cat(&mut server.client().command(&[]));
    // A client that is not known is nobody.
    let _stranger = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let open = usage(&mut server, |usage| usage.sessions > 0);
    assert_eq!((open.sessions, open.logins), (1, 1));
    assert!(server.client().run("true").status.success());
    drop(session);
    let after = usage(&mut server, |usage| usage.sessions == 0);
    assert_eq!(after.logins, 2);
    assert!(after.busy >= first.busy);
}
