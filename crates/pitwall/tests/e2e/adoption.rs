//! Pitwall may be killed, and the host may be rebooted.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::env::{Host, PATIENCE, field, run, until};

#[test]
fn a_kill_leaves_vms_and_sessions_alone_and_the_next_start_adopts_them() {
    let mut host = Host::up();
    host.create_debian("one");
    host.create_debian("two");
    let before = [host.get("one"), host.get("two")];
    let boots = [
        host.ssh_ok("one", "cat /proc/sys/kernel/random/boot_id"),
        host.ssh_ok("two", "cat /proc/sys/kernel/random/boot_id"),
    ];
    let line = host.pwctl_ok(&["ssh-command", "one"]);
    let mut session = host
        .command("bash")
        .args([
            "-c",
            &format!(
                "exec {} 'while read line; do echo \"heard $line\"; done'",
                line.trim()
            ),
        ])
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
    host.kill();
    echo("between");
    host.start(&["up"]);
    host.wait_until_up();
    for (name, before) in ["one", "two"].into_iter().zip(&before) {
        let after = host.wait_for_status(name, "RUNNING");
        assert_eq!(field(before, "address"), field(&after, "address"));
        assert_eq!(field(before, "host_key"), field(&after, "host_key"));
    }
    echo("after");
    drop(says);
    assert!(session.wait().unwrap().success());
    for (name, boot) in ["one", "two"].into_iter().zip(boots) {
        assert_eq!(
            host.ssh_ok(name, "cat /proc/sys/kernel/random/boot_id"),
            boot,
            "{name} was restarted"
        );
    }
    host.pwctl_ok(&["rm", "one", "two"]);
    host.assert_no_vm_left();
}

#[test]
fn stopping_pitwall_in_order_stops_no_vm() {
    let mut host = Host::up();
    host.create_debian("one");
    let pid = host.vmm("one");
    host.terminate();
    assert_eq!(host.vmms(), [pid]);
}

#[test]
fn after_a_reboot_the_host_starts_what_should_run_without_control() {
    let mut host = Host::up();
    host.create_debian("runs");
    host.create_debian("rests");
    host.ssh_ok("runs", "echo kept > /root/file; sync");
    host.pwctl_ok(&["stop", "rests"]);
    let before = host.get("runs");
    host.kill();
    for pid in host.vmms() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    until("the VMMs are gone", Duration::from_secs(20), || {
        host.vmms().is_empty().then_some(())
    });
    for link in host.links() {
        run("ip", &["-n", &host.namespace, "link", "del", &link]);
    }
    assert!(
        host.command("nft")
            .args(["flush", "ruleset"])
            .status()
            .unwrap()
            .success()
    );
    std::fs::remove_dir_all(host.run_directory()).unwrap();

    host.start(&["orchestrator"]);
    let address = field(&before, "address");
    until("the VM accepts SSH without control", PATIENCE, || {
        let probe = host
            .command("bash")
            .args(["-c", &format!("exec 3<>/dev/tcp/{address}/2222; head -c 7 <&3")])
            .output()
            .unwrap();
        (probe.stdout == b"SSH-2.0").then_some(())
    });
    assert_eq!(host.vmms().len(), 1, "the stopped VM stays off");
    host.terminate();
    host.start(&["up"]);
    host.wait_until_up();
    let after = host.wait_for_status("runs", "RUNNING");
    assert_eq!(field(&before, "host_key"), field(&after, "host_key"));
    assert_eq!(host.ssh_ok("runs", "cat /root/file"), "kept\n");
    host.wait_for_status("rests", "STOPPED");
}
