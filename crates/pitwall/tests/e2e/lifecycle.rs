//! From nothing to a shell, and back.

use std::fs;
use std::process::Stdio;

use crate::env::{Host, field, text};
use crate::terminal::on_a_terminal;

#[test]
fn create_ssh_stop_start_rm() {
    let host = Host::up();
    host.create_debian("one");
    let vm = host.get("one");
    assert_eq!(field(&vm, "status"), "RUNNING");
    assert_eq!(field(&vm, "address"), "172.30.0.3");
    assert!(
        host.ssh_ok("one", "cat /etc/os-release")
            .contains("Debian GNU/Linux 12")
    );
    assert_eq!(host.ssh("one", "exit 37").status.code(), Some(37));
    assert_eq!(
        host.pwctl(&["ssh", "one", "--", "exit 37"]).status.code(),
        Some(37)
    );
    let line = host
        .pwctl_ok(&["ssh-command", "one"])
        .trim()
        .replacen("ssh ", "ssh -tt ", 1);
    let sized = on_a_terminal(&host, &format!("stty rows 31 cols 97; {line} stty size"));
    assert!(sized.contains("31 97"), "{sized}");

    ssh_by_name(&host);

    host.ssh_ok("one", "echo kept > /root/file; sync");
    host.pwctl_ok(&["stop", "one"]);
    assert_eq!(host.status("one"), "STOPPED");
    assert_eq!(host.vmms(), Vec::<i32>::new());
    host.pwctl_ok(&["start", "one"]);
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
    assert_eq!(field(&host.get("one"), "host_key"), field(&vm, "host_key"));
    assert_eq!(field(&host.get("one"), "address"), "172.30.0.3");

    host.pwctl_ok(&["rm", "one"]);
    assert_eq!(host.pwctl(&["get", "one"]).status.code(), Some(3));
    host.assert_no_vm_left();
}

/// The stock clients with what `pwctl config-ssh` writes, and the guest's own server at the other end.
fn ssh_by_name(host: &Host) {
    let home = host.directory().join("home");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    let mut setup = host.pwctl_command(&["config-ssh"]);
    let setup = setup.env("HOME", &home).output().unwrap();
    assert!(setup.status.success(), "{}", text(&setup));
    let config = home.join(".ssh/config").display().to_string();
    let said = |program: &str, words: &[&str]| {
        let mut client = host.command(program);
        client.args(["-F", &config]).args(words).env("HOME", &home);
        let output = client.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{program} {words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said("ssh", &["one", "hostname"]), "one\n");
    let [there, back] = ["there", "back"].map(|name| home.join(name));
    fs::write(&there, "by name").unwrap();
    said(
        "scp",
        &["-q", &there.display().to_string(), "one.admin:/root/there"],
    );
    said("scp", &["-q", "one:/root/there", &back.display().to_string()]);
    assert_eq!(fs::read_to_string(back).unwrap(), "by name");
}

#[test]
fn down_ends_all_and_up_brings_the_same_vm_back() {
    let mut host = Host::up();
    host.create_debian("one");
    host.ssh_ok("one", "echo kept > /root/file");
    let before = host.get("one");
    let down = host.pitwall(&["down"]).output().unwrap();
    assert!(down.status.success(), "{}", text(&down));
    assert_eq!(host.vmms(), Vec::<i32>::new());
    assert_eq!(host.links(), Vec::<String>::new());
    assert!(!host.ruleset().contains("pitwall"), "{}", host.ruleset());
    assert!(!host.run_directory().exists());

    host.start(&["up"]);
    host.wait_until_up();
    let after = host.wait_for_status("one", "RUNNING");
    assert_eq!(field(&before, "address"), field(&after, "address"));
    assert_eq!(field(&before, "host_key"), field(&after, "host_key"));
    assert_eq!(host.ssh_ok("one", "cat /root/file"), "kept\n");
}
