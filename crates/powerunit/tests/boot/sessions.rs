//! Sessions and forwarding in a machine: many at once, as its users, with its names.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wire::guest::{Config, GuestFrame, HostFrame};

use crate::can_boot;
use crate::image::{Image, upper_disk};
use crate::master::Master;
use crate::support::ssh::Client;
use crate::support::wait_for;
use crate::vm::Vm;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn two_hundred_sessions_at_once_fit_into_half_of_512_mib() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let vm = Vm::start(folder.path(), &image, &upper);
    let before = figures(&vm);
    let masters = ["a", "b", "c", "d"].map(|login| Master::start(vm.client(), login, &[]));
    let mut clients: Vec<Child> = Vec::new();
    for master in &masters {
        clients.extend((0..50).map(|_| waiting(master)));
    }
    let count = || {
        vm.client()
            .text_as("root", "grep -lx cat /proc/[0-9]*/comm 2>/dev/null | wc -l")
            .parse::<usize>()
            .unwrap()
    };
    wait_for("200 programs", SOON * 3, || (count() == 200).then_some(()));
    let during = figures(&vm);
    eprintln!("KiB available and resident in the server: {before:?}, with 200 sessions {during:?}");
    assert!(during.1 < before.1 + 200 * 16, "{before:?} {during:?}");
    for client in &mut clients {
        drop(client.stdin.take());
    }
    for mut client in clients {
        assert_eq!(client.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_machine_ends_the_sessions_of_a_barred_key_and_tells_how_it_is_used() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = Vm::start(folder.path(), &image, &upper);
    vm.wait_ready();
    let master = Master::start(vm.client(), "root", &[]);
    let mut session = waiting(&master);
    renew(&mut vm, |config| {
        config.usage_every = Some(Duration::from_secs(1))
    });
    let used = vm.wait(|frame| matches!(frame, GuestFrame::Usage(usage) if usage.sessions == 1));
    let fingerprint = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(vm.key.path())
        .output()
        .unwrap();
    let line = String::from_utf8(fingerprint.stdout).unwrap();
    let barred = vec![line.split_whitespace().nth(1).unwrap().to_owned()];
    let start = Instant::now();
    renew(&mut vm, |config| config.ssh.barred = barred);
    wait_for("the session's end", Duration::from_secs(2), || {
        session.try_wait().unwrap()
    });
    eprintln!(
        "the session ended {} ms after it was barred",
        start.elapsed().as_millis()
    );
    let unused = vm.wait(|frame| matches!(frame, GuestFrame::Usage(usage) if usage.sessions == 0));
    let (GuestFrame::Usage(used), GuestFrame::Usage(unused)) = (used, unused) else {
        panic!("other frames fit");
    };
    assert_eq!((used.logins, unused.logins), (1, 1));
    assert!(
        used.busy > Duration::ZERO && unused.busy >= used.busy,
        "{used:?} {unused:?}"
    );
}

/// Gives the machine a newer configuration.
fn renew(vm: &mut Vm, change: impl FnOnce(&mut Config)) {
    change(&mut vm.config);
    vm.config.revision += 1;
    let config = vm.config.clone();
    vm.send(&HostFrame::Config(Box::new(config)));
}

fn waiting(master: &Master) -> Child {
    master
        .command(&[])
        .arg("exec cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// KiB available in the machine, and resident in its SSH server.
fn figures(vm: &Vm) -> (usize, usize) {
    let script = "sed -n 's/MemAvailable: *\\([0-9]*\\).*/\\1/p' /proc/meminfo; \
        sed -n 's/VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' $(dirname $(grep -lx powerunit-ssh /proc/[0-9]*/comm 2>/dev/null | head -n 1))/status";
    let said = vm.client().text_as("root", script);
    let mut numbers = said.lines().map(|line| line.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn users_forward_with_their_own_rights_and_the_machines_names() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let vm = Vm::start(folder.path(), &image, &upper);
    names_are_the_machines(&vm);
    places_are_the_users(&vm);
    agents_are_the_users(&vm);
}

fn names_are_the_machines(vm: &Vm) {
    let root = |script: &str| vm.client().text_as("root", script);
    root("echo '127.0.0.1 service.internal' >> /etc/hosts");
    root("nc -l -p 7000 -e cat >/dev/null 2>&1 </dev/null &");
    let mut through = vm
        .client()
        .command_as("ann", &["-W", "service.internal:7000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    through.stdin.take().unwrap().write_all(b"by name").unwrap();
    let mut back = String::new();
    through.stdout.take().unwrap().read_to_string(&mut back).unwrap();
    through.wait().unwrap();
    assert_eq!(back, "by name");
}

fn places_are_the_users(vm: &Vm) {
    let listens = |master: &Master, place: &str| {
        let forward = format!("{place}:127.0.0.1:9");
        master.control("forward", &["-R", &forward]).status.success()
    };
    let mut ann = Master::start(vm.client(), "ann", &[]);
    assert!(!listens(&ann, "843") && !listens(&ann, "/root/socket"));
    assert!(listens(&ann, "8430") && listens(&ann, "/tmp/ann-socket"));
    assert!(listens(&Master::start(vm.client(), "root", &[]), "843"));
    let stat = |client: Client| client.text_as("root", "stat -c '%U %G %a' /tmp/ann-socket 2>&1");
    assert_eq!(stat(vm.client()), "ann ann 600");
    ann.kill();
    let gone = "test -e /tmp/ann-socket && echo there || echo gone";
    wait_for("the socket to go", SOON, || {
        (vm.client().text_as("root", gone) == "gone").then_some(())
    });
}

fn agents_are_the_users(vm: &Vm) {
    let client = vm.client();
    let socket = client.folder.join("agent");
    let mut agent = Command::new("ssh-agent");
    let mut agent = agent
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the agent", SOON, || socket.exists().then_some(()));
    let script = "stat -c '%U %a' $(dirname $SSH_AUTH_SOCK); test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK";
    let output = client
        .command_as("ann", &["-A"])
        .arg(script)
        .env("SSH_AUTH_SOCK", &socket)
        .output()
        .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (folder, socket) = said.trim().split_once('\n').unwrap();
    assert_eq!(folder, "ann 700", "{output:?}");
    wait_for("the agent's socket to go", SOON, || {
        let there = format!("test -e {socket} && echo there || echo gone");
        (vm.client().text_as("root", &there) == "gone").then_some(())
    });
}
