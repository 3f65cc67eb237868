//! Delete always succeeds, and a dead VMM is noticed.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::{Host, debian, field, until};

fn create_and_leave(host: &Host, name: &str) {
    host.pwctl_ok(&[
        "create",
        name,
        "--image",
        &debian(),
        "--memory",
        "256M",
        "--disk",
        "512M",
        "--no-wait",
    ]);
}

fn wait_for_any(host: &Host, name: &str, wanted: &[&str]) {
    until(
        &format!("{name} is one of {wanted:?}"),
        Duration::from_secs(60),
        || wanted.contains(&host.status(name).as_str()).then_some(()),
    );
}

#[test]
fn delete_works_while_building_and_while_booting() {
    let host = Host::up();
    create_and_leave(&host, "building");
    wait_for_any(&host, "building", &["INIT", "BUILDING_FILESYSTEM"]);
    host.pwctl_ok(&["rm", "building"]);
    host.assert_no_vm_left();
    create_and_leave(&host, "booting");
    wait_for_any(&host, "booting", &["BOOTING"]);
    host.pwctl_ok(&["rm", "booting"]);
    host.assert_no_vm_left();
}

#[test]
fn a_dead_vmm_is_seen_within_two_seconds_and_start_mends_it() {
    let host = Host::up();
    host.create_debian("one");
    host.ssh_ok("one", "echo kept > /root/file; sync");
    let killed = Instant::now();
    kill(Pid::from_raw(host.vmm("one")), Signal::SIGKILL).unwrap();
    let vm = host.wait_for_status("one", "ERROR");
    assert!(
        killed.elapsed() < Duration::from_secs(2),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(field(&vm["reason"], "code"), "vmm_died");
    assert!(field(&vm["reason"], "message").contains("signal 9"), "{vm}");
    assert!(field(&vm["reason"], "hint").contains("pwctl start one"), "{vm}");
    host.pwctl_ok(&["start", "one"]);
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");

    kill(Pid::from_raw(host.vmm("one")), Signal::SIGKILL).unwrap();
    host.wait_for_status("one", "ERROR");
    host.pwctl_ok(&["rm", "one"]);
    host.assert_no_vm_left();
}

#[test]
fn delete_works_when_the_folder_is_damaged() {
    let mut host = Host::up();
    host.create_debian("running");
    host.create_debian("restarted");
    for folder in host.vm_folders() {
        std::fs::write(folder.join("vm.json"), "not what it was").unwrap();
    }
    host.pwctl_ok(&["rm", "running"]);
    host.kill();
    host.start(&["up"]);
    host.wait_until_up();
    until("the host has reported", Duration::from_secs(30), || {
        (host.status("restarted") != "UNKNOWN").then_some(())
    });
    host.pwctl_ok(&["rm", "restarted"]);
    host.assert_no_vm_left();
}
