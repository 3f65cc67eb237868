//! Logs, programs and files of real VMs, over pitwall's own channel.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::env::{Host, PATIENCE, debian, text, until};

/// Prints a line about every 20 ms, each with its number, on its standard error every hundredth. What it has printed
/// stands in a file, too.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i >/run/counted; \
                       if [ $((i%100)) = 0 ]; then echo $i >&2; else echo $i; fi; sleep 0.02; done";

fn create(host: &Host, name: &str, command: &[&str]) {
    let image = debian();
    let base = [
        "create", name, "--image", &image, "--memory", "256M", "--disk", "512M",
    ];
    host.pwctl_ok(&[&base, command].concat());
}

fn records(host: &Host, vm: &str) -> Vec<Value> {
    let log = host.pwctl_ok(&["logs", vm, "--json"]);
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The numbers that were printed, in order.
fn numbers(records: &[Value]) -> Vec<u64> {
    let lines = records.iter().filter(|record| record["type"] == "line");
    lines
        .map(|record| record["line"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn count(host: &Host) -> u64 {
    numbers(&records(host, "counter")).last().copied().unwrap_or(0)
}

#[test]
fn a_log_loses_nothing_when_pitwall_is_killed() {
    let mut host = Host::up();
    create(&host, "counter", &["--restart", "no", "--", "sh", "-c", COUNTER]);
    until("it has counted to 150", PATIENCE, || {
        (count(&host) >= 150).then_some(())
    });
    let line = host.pwctl_ok(&["ssh-command", "counter"]);
    for _ in 0..2 {
        host.kill();
        counts_on(&host, &line);
        host.start(&["up"]);
        host.wait_until_up();
        host.wait_for_status("counter", "RUNNING");
        let before = count(&host);
        until("it has counted on", PATIENCE, || {
            (count(&host) > before + 100).then_some(())
        });
    }
    let records = records(&host, "counter");
    let printed = numbers(&records);
    let expected: Vec<_> = (1..=printed.len().try_into().unwrap()).collect();
    assert_eq!(printed, expected, "each once and in order");
    assert!(
        records.iter().all(|record| record["type"] != "gap"),
        "{records:?}"
    );
    let hundreds = records.iter().filter(|record| record["stream"] == "stderr");
    assert!(hundreds.count() >= 2);

    follow(&host);
    let vm = host.get("counter");
    assert_eq!(
        (&vm["service"]["state"], &vm["service"]["restarts"]),
        (&"running".into(), &0.into())
    );
    let newest = host.pwctl(&["logs", "counter", "--tail", "3"]);
    let lines = newest
        .stdout
        .iter()
        .chain(&newest.stderr)
        .filter(|&&byte| byte == b'\n');
    assert_eq!(lines.count(), 3, "{}", text(&newest));
    // What it printed is there when it is off, too.
    host.pwctl_ok(&["stop", "counter"]);
    assert!(count(&host) >= printed.len().try_into().unwrap());
}

/// Waits until it has counted fifty further while nobody listens: the guest itself is asked.
fn counts_on(host: &Host, line: &str) {
    let script = format!("exec {} cat /run/counted", line.trim());
    let counted = || {
        let mut command = host.command("bash");
        command.args(["-c", &script]).stdin(Stdio::null());
        let output = command.output().unwrap();
        // The file is empty for a moment when it is written.
        String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().ok()
    };
    let from = until("the guest answers", PATIENCE, counted);
    until("it counts on while nobody listens", PATIENCE, || {
        counted().filter(|now| *now > from + 50)
    });
}

/// Lines come while they are printed, from the newest one on.
fn follow(host: &Host) {
    let from = count(host);
    let mut command = host.pwctl_command(&["logs", "counter", "-f", "--tail", "1", "--json"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen: Vec<_> = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .filter(|record| record["type"] == "line")
        .take(30)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = numbers(&seen);
    assert!(
        seen[0] >= from && seen.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{seen:?}"
    );
}

#[test]
fn programs_and_files_need_no_ssh() {
    let host = Host::up();
    create(&host, "box", &["--no-service"]);
    programs(&host);
    files(&host);
    // The same from a shell: what one way wrote, the other reads.
    assert_eq!(
        host.ssh_ok("box", "sha256sum < /root/big"),
        host.pwctl_ok(&["exec", "box", "--", "sh", "-c", "sha256sum < /root/big"])
    );
}

fn piped(host: &Host, words: &[&str], input: &[u8]) -> Output {
    let mut command = host.pwctl_command(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let typing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // One that ends without reading all of it breaks the pipe.
    let _ = typing.join().unwrap();
    output
}

fn programs(host: &Host) {
    let exec = |words: &[&str]| host.pwctl(&[&["exec", "box"], words].concat());
    for (script, status) in [("exit 37", 37), ("kill -9 $$", 137), ("true", 0)] {
        let ended = exec(&["--", "sh", "-c", script]);
        assert_eq!(ended.status.code(), Some(status), "{script}: {}", text(&ended));
    }
    for (program, status) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let ended = exec(&["--", program]);
        assert_eq!(ended.status.code(), Some(status), "{program}: {}", text(&ended));
    }
    let both = exec(&["--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (both.stdout.as_slice(), both.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    let told = exec(&[
        "-u",
        "nobody",
        "-w",
        "/tmp",
        "-e",
        "A=b c",
        "--",
        "sh",
        "-c",
        "id -un; pwd; echo $A",
    ]);
    assert_eq!(told.stdout, b"nobody\n/tmp\nb c\n", "{}", text(&told));
    let binary: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 256) as u8).collect();
    let echoed = piped(host, &["exec", "-i", "box", "--", "cat"], &binary);
    assert!(
        echoed.status.success() && echoed.stdout == binary,
        "{}",
        String::from_utf8_lossy(&echoed.stderr)
    );
    let terminal = exec(&["-t", "--", "sh", "-c", "tty; stty size; echo $TERM"]);
    let shown = String::from_utf8_lossy(&terminal.stdout);
    assert!(
        shown.starts_with("/dev/pts/") && shown.contains("\r\n24 80\r\n"),
        "{shown:?}"
    );
    // A client that is killed takes its program with it.
    let mut child = host
        .pwctl_command(&["exec", "box", "--", "sh", "-c", "echo $$; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut pid)
        .unwrap();
    let lives = || {
        exec(&["--", "test", "-d", &format!("/proc/{}", pid.trim())])
            .status
            .success()
    };
    assert!(lives());
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program is gone", Duration::from_secs(60), || {
        (!lives()).then_some(())
    });
}

fn files(host: &Host) {
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name);
    let big: Vec<u8> = (0..20_000_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(path("big"), &big).unwrap();
    let cp = |from: &str, to: &str| host.pwctl_ok(&["cp", from, to]);
    let of_here = |name: &str| path(name).display().to_string();
    cp(&of_here("big"), "box:/root");
    cp("box:/root/big", &of_here("again"));
    assert!(fs::read(path("again")).unwrap() == big);

    fs::create_dir_all(path("tree/inner")).unwrap();
    fs::write(path("tree/inner/run"), "#!/bin/sh\necho runs\n").unwrap();
    fs::set_permissions(path("tree/inner/run"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("inner/run", path("tree/link")).unwrap();
    cp(&of_here("tree"), "box:/srv");
    let run = host.pwctl_ok(&[
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "/srv/tree/link; stat -c '%a %U' /srv/tree/inner/run",
    ]);
    assert_eq!(run, "runs\n750 root\n");
    cp("box:/srv/tree", &of_here("back"));
    assert_eq!(fs::read_link(path("back/link")).unwrap(), Path::new("inner/run"));
    let mode = fs::metadata(path("back/inner/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
    // /bin is a link to a folder in this image.
    cp(&of_here("tree/inner/run"), "box:/bin");
    assert_eq!(host.pwctl_ok(&["exec", "box", "--", "run"]), "runs\n");
    let missing = host.pwctl(&["cp", "box:/nothing", "."]);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing));
    host.pwctl_ok(&[
        "exec", "box", "--", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt",
    ]);
    let full = host.pwctl(&["cp", &of_here("big"), "box:/mnt"]);
    assert_eq!(full.status.code(), Some(1), "{}", text(&full));
    assert!(text(&full).contains("No space left on device"), "{}", text(&full));
}

/// What the VM's service does: it answers what is typed on the console.
const ANSWERS: &str = "exec </dev/ttyS0 >/dev/ttyS0; while read -r line; do echo \"heard $line\"; done";

/// Types a line on a console and waits for words that only the console tells.
fn on_console(host: &Host, options: &[&str], typed: &str, wanted: &str) {
    let mut command = host.pwctl_command(&[&["console", "box"], options].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let (show, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        shown.map_while(Result::ok).for_each(|line| drop(show.send(line)));
    });
    let mut seen = Vec::new();
    until("the console tells it", PATIENCE, || {
        seen.extend(lines.try_iter());
        seen.iter()
            .any(|line: &String| line.contains(wanted))
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

#[test]
fn a_console_is_typed_on_read_from_its_beginning_and_outlives_pitwall() {
    let mut host = Host::up();
    create(&host, "box", &["--restart", "no", "--", "sh", "-c", ANSWERS]);
    on_console(&host, &[], "one\n", "heard one");
    let pid = host.vmm("box");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    // The number of 172.30.0.3 in its subnet, above the first.
    assert!(
        status.contains("Uid:\t1879048195\t"),
        "it is not confined: {status}"
    );
    host.kill();
    host.start(&["up"]);
    host.wait_until_up();
    host.wait_for_status("box", "RUNNING");
    assert_eq!(host.vmm("box"), pid, "it was restarted");
    on_console(&host, &[], "two\n", "heard two");
    on_console(&host, &["--read-only"], "", "heard one");
    host.pwctl_ok(&["stop", "box"]);
    let off = host.pwctl(&["console", "box"]);
    assert!(!off.status.success(), "{}", text(&off));
    host.pwctl_ok(&["rm", "box"]);
    host.assert_no_vm_left();
}
