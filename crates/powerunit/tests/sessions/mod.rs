//! Sessions in number, and what becomes of their programs, with the real `ssh` on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::master::Master;
use crate::memory::resident_kib;
use crate::root;
use crate::server::Server;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(20);

/// The first line that a command prints, and the client, still running.
fn first_line(command: &mut Command) -> (String, Child) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (line.trim_end().to_owned(), child)
}

/// One that has ended may still wait for its parent to hear of it.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn end(pid: &str) {
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn two_hundred_sessions_at_once_cost_little_memory() {
    let Some(server) = Server::start() else { return };
    let logins = ["a", "b", "c", "d"];
    let masters = logins.map(|login| Master::start(server.client(), login, &[]));
    assert!(masters[0].command(&[]).arg("true").status().unwrap().success());
    let before = resident_kib(server.child.id());
    let sessions = masters.iter().flat_map(|master| (0..50).map(move |_| master));
    let mut clients: Vec<Child> = sessions
        .map(|master| {
            let mut command = master.command(&[]);
            let (line, child) = first_line(command.arg("echo ready; exec cat"));
            assert_eq!(line, "ready");
            child
        })
        .collect();
    let each = (resident_kib(server.child.id()) - before) / clients.len() as u64;
    assert!(each <= 16, "{each} KiB for each session that waits");
    for client in &mut clients {
        drop(client.stdin.take());
    }
    for mut client in clients {
        assert_eq!(client.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn an_idle_connection_costs_at_most_64_kib() {
    let Some(server) = Server::start() else { return };
    let connect = || {
        let mut command = server.client().command(&[]);
        let (line, child) = first_line(command.arg("echo ready; exec cat"));
        assert_eq!(line, "ready");
        child
    };
    // The first ones fill what all share.
    let mut clients: Vec<Child> = (0..10).map(|_| connect()).collect();
    let before = resident_kib(server.child.id());
    clients.extend((0..50).map(|_| connect()));
    let each = (resident_kib(server.child.id()) - before) / 50;
    assert!(
        each <= 64,
        "{each} KiB for each connection with a session that waits"
    );
    for mut client in clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// How often a process gave the processor back, and how long it had it, ticks (proc_pid_status(5), proc_pid_stat(5)).
fn worked(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let switches = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    (switches.unwrap().trim().parse().unwrap(), ticks.sum())
}

#[test]
fn idle_connections_cost_no_processor_time() {
    let Some(server) = Server::start() else { return };
    let mut clients: Vec<Child> = ["-T", "-tt"]
        .iter()
        .cycle()
        .take(50)
        .map(|option| {
            let mut command = server.client().command(&[option]);
            let (line, child) = first_line(command.arg("echo ready; exec cat"));
            assert_eq!(line, "ready");
            child
        })
        .collect();
    let pid = server.child.id();
    let mut last = (0, 0);
    wait_for("the server to rest", SOON, || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut last, worked(pid));
        (before == last).then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    let (switches, ticks) = worked(pid);
    let woken = switches - last.0;
    assert!(
        woken <= 1 && ticks - last.1 <= 1,
        "woken {woken} times in five seconds"
    );
    for client in &mut clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn one_connection_runs_any_number_of_commands_in_turn() {
    let Some(server) = Server::start() else { return };
    let master = Master::start(server.client(), "fred", &[]);
    for number in 0..100 {
        let output = master.command(&[]).arg("echo done").output().unwrap();
        assert_eq!(output.stdout, b"done\n", "command {number}: {output:?}");
    }
}

#[test]
fn what_runs_in_the_background_outlives_the_connection() {
    let Some(server) = Server::start() else { return };
    let mut command = server.client().command(&[]);
    command.arg("sleep 1000 >/dev/null 2>&1 </dev/null & echo $$ $!; exec sleep 1000");
    let (line, mut client) = first_line(&mut command);
    let (program, background) = line.split_once(' ').unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    wait_for("the program to end", SOON, || (!runs(program)).then_some(()));
    assert!(runs(background));
    let heard_of = || !Path::new("/proc").join(program).exists();
    wait_for("the server to hear of it", SOON, || heard_of().then_some(()));
    end(background);
}

#[test]
fn a_program_that_ignores_the_hangup_finds_its_output_closed() {
    let Some(server) = Server::start() else { return };
    let mark = server.folder.path().join("noticed");
    let mut command = server.client().command(&[]);
    command.arg(format!(
        "trap '' HUP PIPE; echo armed; while echo more; do :; done 2>/dev/null; touch {}",
        mark.display()
    ));
    // Nobody reads any further, so the program's output stands still in the client's window.
    let (line, mut client) = first_line(&mut command);
    assert_eq!(line, "armed");
    let written = || std::fs::read_to_string(format!("/proc/{}/io", server.child.id())).unwrap();
    let mut last = String::new();
    wait_for("its output to stand still", SOON, || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut last, written());
        (before == last).then_some(())
    });
    client.kill().unwrap();
    client.wait().unwrap();
    wait_for("the program to notice", SOON, || mark.exists().then_some(()));
}

#[test]
fn a_closed_terminal_ends_what_runs_on_it() {
    let Some(server) = Server::start() else { return };
    let mut command = server.client().command(&["-tt"]);
    command.arg("sleep 1000 & echo $! $$; wait");
    let (line, mut client) = first_line(&mut command);
    let (inner, shell) = line.split_once(' ').unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    for pid in [shell, inner] {
        wait_for("the terminal's programs to end", SOON, || {
            (!runs(pid)).then_some(())
        });
    }
}

#[test]
fn a_user_without_a_home_begins_at_the_root() {
    if !root::is_root() {
        return;
    }
    let Some(server) = Server::start() else { return };
    assert_eq!(
        server.client().text_as("nobody", "pwd; id -un; echo $HOME"),
        "/\nnobody\n/nonexistent"
    );
    assert_eq!(server.client().text_as("root", "pwd; echo $HOME"), "/root\n/root");
}

#[test]
fn a_client_in_the_background_leaves_when_its_command_ends() {
    let Some(server) = Server::start() else { return };
    let mark = server.folder.path().join("ran");
    let status = server
        .client()
        .command(&["-f"])
        .arg(format!("touch {}", mark.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    wait_for("the command", SOON, || mark.exists().then_some(()));
}
