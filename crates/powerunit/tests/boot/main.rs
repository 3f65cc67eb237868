//! powerunit as a real init: the bundle of `cargo xtask bundle`, a real kernel, QEMU, and the real `ssh` client.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows its figures"
)]

mod computer;
#[path = "../support/files.rs"]
mod files;
mod image;
mod keys;
#[path = "../support/master.rs"]
mod master;
mod power;
#[path = "../support/script.rs"]
mod script;
mod service;
mod sessions;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod vm;
#[path = "../support/words.rs"]
mod words;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use files::{FileClients, with};
use image::{Image, upper_disk};
use script::on_a_terminal;
use support::ssh::KeyPair;
use support::{available, run, wait_for};
use vm::{Machine, Vm};
use wire::guest::{Disk, GuestFrame, HostFrame, PowerOffKind};
use words::shell_words;

fn can_boot() -> bool {
    let programs = [
        "qemu-system-x86_64",
        "mkfs.erofs",
        "mkfs.ext4",
        "e2fsck",
        "ssh",
        "ssh-keygen",
        "sftp",
        "nft",
        "ldd",
    ];
    let bundle = vm::bundle();
    available(
        &programs,
        &[
            &bundle.join("vmlinux"),
            &bundle.join("initramfs.cpio"),
            &bundle.join("modules.erofs"),
            "/bin/busybox".as_ref(),
        ],
    )
}

#[test]
fn a_machine_lives_is_told_new_things_and_ends_in_order() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let started = Instant::now();
    let mut vm = Vm::start(folder.path(), &image, &upper);
    // As a host does it: once when it is greeted, and once more now.
    vm.wait(|frame| matches!(frame, GuestFrame::Hello(_)));
    vm.say_time();
    let ready = vm.wait_ready();
    let late = vm.tell_time();
    eprintln!(
        "Ready after {:.2?} and {:.2} CPU s",
        started.elapsed(),
        vm.cpu_seconds()
    );
    assert_eq!((ready.config_revision, ready.login.as_str()), (1, "ann"));
    assert_eq!(
        ready.host_keys,
        [vm.host_key.public().rsplit_once(' ').unwrap().0]
    );

    let ssh = vm.client();
    assert_eq!(ssh.run("exit 37").status.code(), Some(37));
    // What PID 1 blocks for itself must not reach a session, or nothing in it could be ended politely.
    assert_eq!(
        ssh.run("grep SigBlk /proc/self/status").stdout,
        b"SigBlk:\t0000000000000000\n"
    );
    eprintln!(
        "first exit status after {:.2?} and {:.2} CPU s",
        started.elapsed(),
        vm.cpu_seconds()
    );
    let times: Vec<_> = (0..5)
        .map(|_| {
            let start = Instant::now();
            assert!(ssh.run("true").status.success());
            start.elapsed()
        })
        .collect();
    eprintln!("ssh true: {times:.2?}");
    look_around(&vm);
    let off = computer::off(&vm);
    assert!(
        off < computer::CLOCK + late,
        "the clock is {off:?} off from the start, told within {late:?}"
    );
    sessions_have_their_environment(&vm);
    nobody_is_woken_for_nothing(&vm);
    show_figures(&vm);

    the_ssh_server_comes_back(&mut vm);
    keys_change_while_sessions_stay(&mut vm);
    vm.reconnect();
    vm.wait_ready();

    ssh.text_as("root", "echo kept > /root/file");
    // Ignores SIGTERM and SIGHUP, so only SIGKILL ends it.
    ssh.text_as("root", "trap '' TERM HUP; setsid sleep 1000 >/dev/null 2>&1 &");
    vm.stop(Duration::from_secs(1));
    run(Command::new("e2fsck").arg("-fn").arg(&upper));

    let mut again = Vm::start(folder.path(), &image, &upper);
    again.wait_ready();
    assert_eq!(again.client().text_as("root", "cat /root/file"), "kept");
    let _ = again.client().command_as("root", &[]).arg("reboot").status();
    assert_eq!(again.wait_off(), PowerOffKind::Reboot);
    run(Command::new("e2fsck").arg("-fn").arg(&upper));
}

/// What a person finds in a new machine.
fn look_around(vm: &Vm) {
    let ssh = vm.client();
    assert_eq!(ssh.text("id -un"), "ann");
    assert_eq!(ssh.text("id -Gn"), "ann staff");
    assert_eq!(
        ssh.command_as("root", &[]).arg("id -u").output().unwrap().stdout,
        b"0\n"
    );
    assert_eq!(
        ssh.text("hostname; pwd; echo $FROM_IMAGE"),
        "fast-car\n/home/ann\nyes"
    );
    assert_eq!(ssh.text("cat /proc/1/comm"), "init");
    let size = on_a_terminal(&format!(
        "stty rows 33 cols 101; {} 'stty size; tty'",
        shell_words(&ssh.command(&["-tt"]))
    ));
    let printed = String::from_utf8_lossy(&size.stdout);
    assert!(printed.contains("33 101\r\n/dev/pts/0"), "{size:?}");
    assert!(
        ssh.text("cat /etc/hosts")
            .contains("10.0.2.15 fast-car # pitwall")
    );
    assert_eq!(ssh.text("cat /etc/resolv.conf"), "nameserver 192.0.2.53");
    let mounts = ssh.text("cat /proc/mounts");
    for mount in [
        "overlay / overlay",
        "devpts /dev/pts",
        "tmpfs /dev/shm",
        "tmpfs /run",
        "cgroup2 /sys/fs/cgroup",
    ] {
        assert!(mounts.contains(mount), "{mount} is not in\n{mounts}");
    }
    assert!(
        !mounts.contains(" /pw"),
        "the ways to the layers are still there:\n{mounts}"
    );
    assert_eq!(
        ssh.text(
            "stat -c %a /tmp; ls /modules /init 2>/dev/null; echo x > /dev/shm/x; cat /dev/fd/0 </dev/null; echo out > /dev/stdout"
        ),
        "1777\nout"
    );
}

/// A shell reads its profile, with and without a terminal; a command does not, and has what an ordinary server gives.
fn sessions_have_their_environment(vm: &Vm) {
    let ssh = vm.client();
    ssh.text_as(
        "root",
        "echo 'export PROFILE=read' > /etc/profile; printf 'OF_ALL=\"to all\"\\nFROM_IMAGE=no\\n' > /etc/environment",
    );
    let environment = ssh.text("env; echo $0");
    let expected = [
        "USER=ann",
        "LOGNAME=ann",
        "HOME=/home/ann",
        "SHELL=/bin/sh",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "FROM_IMAGE=yes",
        "OF_ALL=to all",
        "sh",
    ];
    let lines: Vec<_> = environment.lines().collect();
    for line in expected {
        assert!(lines.contains(&line), "no {line} in\n{environment}");
    }
    assert!(!environment.contains("PROFILE"), "{environment}");
    for option in ["-T", "-tt"] {
        let mut shell = ssh
            .command(&[option])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let script = b"echo \"the profile is $PROFILE\"; exit 5\n";
        std::io::Write::write_all(shell.stdin.as_mut().unwrap(), script).unwrap();
        let output = shell.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("the profile is read"), "{option}: {said}");
        assert_eq!(output.status.code(), Some(5), "{option}");
    }
    ssh.text_as("root", "rm /etc/profile /etc/environment");
}

/// Neither PID 1 nor the SSH server does anything while one session waits.
fn nobody_is_woken_for_nothing(vm: &Vm) {
    let script = "for pid in 1 $(pidof powerunit-ssh); do grep ^voluntary_ctxt /proc/$pid/status; done";
    let woken = vm.client().text(&format!("{script}; sleep 3; {script}"));
    let counts: Vec<u64> = woken
        .lines()
        .map(|line| line.rsplit('\t').next().unwrap().parse().unwrap())
        .collect();
    let [init, server, init_later, server_later] = counts[..] else {
        panic!("{woken}")
    };
    // What the first reading printed is passed on after it.
    assert!(init_later - init <= 1 && server_later - server <= 8, "{woken}");
}

/// For the record: where the boot's time went, and what the two processes cost.
fn show_figures(vm: &Vm) {
    let script = "dmesg | grep powerunit:; for pid in 1 $(pidof powerunit-ssh); do \
        grep -E '^(Rss|Pss|Private_Dirty|Anonymous):' /proc/$pid/smaps_rollup | tr -s ' \\n' ' '; echo; done";
    let output = vm.client().command_as("root", &[]).arg(script).output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}

fn the_ssh_server_comes_back(vm: &mut Vm) {
    let ssh = vm.client();
    let killed = ssh
        .command_as("root", &[])
        .arg("kill -9 $(pidof powerunit-ssh)")
        .status()
        .unwrap();
    assert!(!killed.success());
    let start = Instant::now();
    assert_eq!(ssh.text("cat /proc/1/comm"), "init");
    eprintln!(
        "connected again {:.2?} after the SSH server was killed",
        start.elapsed()
    );
    assert!(start.elapsed() < Duration::from_secs(3));
}

fn keys_change_while_sessions_stay(vm: &mut Vm) {
    let ssh = vm.client();
    let mut open = ssh
        .command(&[])
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let new = KeyPair::generate(vm.folder(), "new-key");
    assert_eq!(ssh.with_key(&new).run("true").status.code(), Some(255));
    let mut config = vm.config.clone();
    config.revision = 2;
    config.hostname = "faster-car".into();
    config.ssh.authorized_keys = vec![new.public()];
    vm.send(&HostFrame::Config(Box::new(config.clone())));
    vm.wait(|frame| matches!(frame, GuestFrame::ConfigApplied { revision: 2 }));
    assert_eq!(vm.wait_ready().config_revision, 2);
    vm.config = config;
    assert_eq!(
        ssh.run("true").status.code(),
        Some(255),
        "the old key still opens"
    );
    assert_eq!(ssh.with_key(&new).text("hostname"), "faster-car");
    std::io::Write::write_all(&mut open.stdin.take().unwrap(), b"still here").unwrap();
    assert_eq!(open.wait_with_output().unwrap().stdout, b"still here");
    // Give the first key back, as revision 3, for what follows.
    let mut config = vm.config.clone();
    config.revision = 3;
    config.ssh.authorized_keys = vec![vm.key.public()];
    vm.send(&HostFrame::Config(Box::new(config.clone())));
    vm.wait(|frame| matches!(frame, GuestFrame::ConfigApplied { revision: 3 }));
    vm.config = config;
}

#[test]
fn an_image_with_one_program_and_nothing_else_works() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::one_program(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = Vm::start(folder.path(), &image, &upper);
    assert_eq!(vm.wait_ready().login, "root");
    let ssh = vm.client();
    assert_eq!(ssh.text("/busybox echo 'a  b' c"), "a  b c");
    assert_eq!(ssh.run("/busybox sh -c 'exit 37'").status.code(), Some(37));
    for (what, says) in [("", "has no shell"), ("/nothing", "No such file")] {
        let mut command = ssh.command(&[]);
        let output = if what.is_empty() {
            command.output()
        } else {
            command.arg(what).output()
        }
        .unwrap();
        assert_eq!(output.status.code(), Some(127), "{what}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{what}: {said}");
    }
    files_go_there_and_back(&vm);
    let _ = ssh.run("/busybox poweroff");
    assert_eq!(vm.wait_off(), PowerOffKind::Off);
}

/// The server of files is powerunit itself, although the image shows no file of it.
fn files_go_there_and_back(vm: &Vm) {
    let (local, back) = (vm.folder().join("local"), vm.folder().join("back"));
    let remote = Path::new("/there");
    let content: Vec<u8> = (0..1_000_000_u32).map(|place| (place % 251) as u8).collect();
    std::fs::write(&local, &content).unwrap();
    let put = [with("put", &local), with("", remote)].concat();
    let get = [with("get", remote), with("", &back)].concat();
    let listed = vm.client().sftp_text("fred", &[&put, &get, b"ls -l /"]);
    assert!(std::fs::read(&back).unwrap() == content);
    let listed = String::from_utf8_lossy(&listed);
    assert!(listed.contains(" 0        0         1000000 "), "{listed}");
}

#[test]
fn a_machine_with_a_pci_bus_works_too() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = Vm::prepare_on(Machine::Q35, folder.path(), &image, &upper);
    vm.greet();
    vm.wait_ready();
    assert_eq!(vm.client().run("exit 37").status.code(), Some(37));
    vm.stop(Duration::from_secs(5));
    run(Command::new("e2fsck").arg("-fn").arg(&upper));
}

#[test]
fn a_missing_disk_is_told_and_the_guest_waits_for_stop() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = Image::busybox(folder.path());
    let upper = upper_disk(folder.path());
    let mut vm = Vm::prepare(folder.path(), &image, &upper);
    vm.config.disks.upper = Disk::Serial("pw-elsewhere".into());
    vm.greet();
    let failed = vm.wait(|frame| matches!(frame, GuestFrame::Failed { .. }));
    let GuestFrame::Failed { code, message } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(code, "disk_missing");
    assert!(message.contains("pw-elsewhere"), "{message}");
    vm.reconnect();
    vm.wait(|frame| matches!(frame, GuestFrame::Failed { .. }));
    wait_for("the console to say it", Duration::from_secs(5), || {
        vm.console().contains("pw-elsewhere").then_some(())
    });
    vm.stop(Duration::from_secs(5));
}
