//! Power from inside a VM: every usual command of every usual init, and none of them.

use std::process::{Output, Stdio};
use std::time::Duration;

use crate::env::{Host, PATIENCE, debian_with, field, quote, text, until};

/// What a person sees of a VM that restarts: another boot of the kernel under the same address and with the same disk.
#[test]
fn an_image_without_an_init_can_be_rebooted_and_powered_off() {
    let host = Host::up();
    host.create_debian("one");
    let before = host.get("one");
    host.ssh_ok("one", "echo kept > /root/file; sync");
    for command in ["reboot", "reboot -f", "shutdown -r now"] {
        reboots(&host, "one", command);
    }
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
    let after = host.wait_for_status("one", "RUNNING");
    for same in ["address", "host_key"] {
        assert_eq!(field(&before, same), field(&after, same));
    }
    assert_eq!(before["generation"], after["generation"], "nothing else is asked");

    powers_off(&host, "one", "halt");
    host.pwctl_ok(&["start", "one"]);
    powers_off(&host, "one", "poweroff");
    assert_eq!(host.links(), ["pwbr0"], "one that is off has no way in");
    host.pwctl_ok(&["start", "one"]);
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
    host.pwctl_ok(&["rm", "one"]);
    host.assert_no_vm_left();
}

#[test]
fn the_commands_of_systemd_work_without_systemd() {
    let host = Host::up();
    create(&host, "one", &debian_with("systemd"));
    for command in ["reboot", "shutdown -r now", "systemctl -ff reboot"] {
        reboots(&host, "one", command);
    }
    for command in ["poweroff", "halt", "shutdown -h now"] {
        powers_off(&host, "one", command);
        host.pwctl_ok(&["start", "one"]);
    }
}

#[test]
fn the_commands_of_sysvinit_work_without_sysvinit() {
    let host = Host::up();
    create(&host, "one", &debian_with("sysvinit"));
    for command in ["reboot", "reboot -f", "shutdown -r now", "init 6"] {
        reboots(&host, "one", command);
    }
    for command in ["poweroff", "halt", "shutdown -h now", "init 0"] {
        powers_off(&host, "one", command);
        host.pwctl_ok(&["start", "one"]);
    }
}

fn create(host: &Host, name: &str, image: &str) {
    host.pwctl_ok(&[
        "create", name, "--image", image, "--memory", "256M", "--disk", "512M",
    ]);
}

fn boot_id(host: &Host, vm: &str) -> Option<String> {
    let answer = say(host, vm, "cat /proc/sys/kernel/random/boot_id");
    answer.status.success().then(|| text(&answer))
}

/// A command in a machine that may be reset meanwhile. That does not even say goodbye, so the client asks whether it is
/// still there.
fn say(host: &Host, vm: &str, command: &str) -> Output {
    let line = host.pwctl_ok(&["ssh-command", vm]);
    let patience = "ssh -o ServerAliveInterval=2 -o ConnectTimeout=10 ";
    let script = format!(
        "exec {} {}",
        line.trim().replacen("ssh ", patience, 1),
        quote(command)
    );
    host.command("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn reboots(host: &Host, vm: &str, command: &str) {
    let before = boot_id(host, vm).unwrap();
    say(host, vm, command);
    until(&format!("{vm} boots again after {command:?}"), PATIENCE, || {
        boot_id(host, vm).filter(|now| *now != before)
    });
}

fn powers_off(host: &Host, vm: &str, command: &str) {
    say(host, vm, command);
    let off = host.wait_for_status(vm, "STOPPED");
    // It stays so: what is asked is off too, and the host has done with that.
    let settled = until("the host has settled it", Duration::from_secs(30), || {
        let seen = host.get(vm);
        (seen["generation"] == seen["settled_generation"]).then_some(seen)
    });
    assert_eq!(field(&settled, "status"), "STOPPED", "{off}");
    assert_eq!(field(&settled, "power"), "off");
    assert_eq!(host.vmms(), Vec::<i32>::new());
}
