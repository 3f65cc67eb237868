//! What goes wrong is said clearly, in `pwctl` and in the API, leaves nothing half-made, and disturbs nobody.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::env::{Host, debian, field, run, text, until};
use crate::registry::{Registry, foreign, layer, spoilt};

/// Creates a VM that cannot come to be; checks what is said and that nothing of it is left after `rm`.
fn expect_reason(host: &Host, image: &str, code: &str) {
    let output = host.pwctl(&[
        "create", "broken", "--image", image, "--memory", "256M", "--disk", "512M",
    ]);
    assert!(!output.status.success(), "{image}: {}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let vm = host.get("broken");
    let reason = &vm["reason"];
    assert_eq!(field(&vm, "status"), "ERROR", "{vm}");
    assert_eq!(field(reason, "code"), code, "{vm}");
    assert!(
        said.contains(&field(reason, "hint")),
        "pwctl does not say the next step: {said}"
    );
    assert!(
        said.contains(&field(reason, "message")),
        "pwctl does not say what happened: {said}"
    );
    host.pwctl_ok(&["rm", "broken"]);
    host.assert_no_vm_left();
    assert_eq!(left_in_cache(host), Vec::<String>::new(), "{code}");
}

/// What a pull that failed left in the cache beside whole layers and whole images.
fn left_in_cache(host: &Host) -> Vec<String> {
    let root = host.state().join("images");
    let listing = run(
        "find",
        &[&root.display().to_string(), "-type", "f", "-printf", "%P\\n"],
    );
    let temporary = |path: &&str| path.contains("temp") || path.contains("tmp") || path.contains(".new");
    listing.lines().filter(temporary).map(str::to_owned).collect()
}

#[test]
fn images_that_cannot_be_had() {
    let host = Host::up();
    let _registry = Registry::with_debian(&host);
    let directory = tempfile::tempdir().unwrap();
    let layout = |name: &str| directory.path().join(name);

    expect_reason(
        &host,
        &format!("{}/absent:latest", Registry::ADDRESS),
        "image_not_found",
    );
    expect_reason(
        &host,
        &format!("oci:{}", layout("nowhere").display()),
        "image_not_found",
    );
    expect_reason(&host, "127.0.0.1:9/debian:latest", "registry_unreachable");
    let flipped = spoilt(&layout("flipped"), |layout| {
        let path = layer(layout);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    });
    expect_reason(&host, &flipped, "digest_mismatch");
    let cut = spoilt(&layout("cut"), |layout| {
        let path = layer(layout);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(path.metadata().unwrap().len() / 2).unwrap();
    });
    expect_reason(&host, &cut, "layer_truncated");
    expect_reason(&host, &foreign(&layout("foreign")), "wrong_architecture");
}

#[test]
fn bad_requests_are_refused_before_anything_is_made() {
    let host = Host::up();
    for (arguments, code) in [
        (vec!["create", "Bad_Name", "--image", "debian"], 2),
        (vec!["create", "fine", "--image", "UPPER CASE"], 2),
        (vec!["create", "fine", "--image", "debian", "--memory", "lots"], 2),
        (vec!["get", "absent"], 3),
        (vec!["start", "absent"], 3),
        (vec!["rm", "absent"], 3),
    ] {
        let output = host.pwctl(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output)
        );
        assert!(!output.stderr.is_empty(), "{arguments:?} says nothing");
    }
    let key = host.state().join("bad.pub");
    std::fs::write(&key, "ssh-dss AAAA nobody\n").unwrap();
    let output = host.pwctl(&[
        "create",
        "fine",
        "--image",
        "debian",
        "--key",
        &key.display().to_string(),
    ]);
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("key"),
        "{}",
        text(&output)
    );
    let failure = host.pwctl(&["get", "absent", "--json"]);
    let problem: Value = serde_json::from_slice(&failure.stderr).unwrap();
    assert_eq!(field(&problem, "code"), "not_found");
    assert!(host.pwctl_ok(&["ls", "--json"]).contains("[]"));
}

#[test]
fn a_full_subnet_says_so_and_mends_itself() {
    let mut host = Host::new();
    host.start(&["up", "--subnet", "172.30.0.0/29"]);
    host.wait_until_up();
    for name in ["a", "b", "c", "d"] {
        host.pwctl_ok(&[
            "create",
            name,
            "--image",
            &debian(),
            "--memory",
            "64M",
            "--disk",
            "64M",
            "--no-wait",
        ]);
    }
    // Leases are taken as the hosts' tasks come to run, not in the order of the wishes.
    for name in ["a", "b", "c", "d"] {
        until("a lease", Duration::from_secs(60), || {
            host.get(name)["address"].as_str().map(drop)
        });
    }
    let output = host.pwctl(&[
        "create",
        "e",
        "--image",
        &debian(),
        "--memory",
        "256M",
        "--disk",
        "64M",
    ]);
    assert!(!output.status.success());
    let vm = host.wait_for_status("e", "ERROR");
    assert_eq!(field(&vm["reason"], "code"), "no_address");
    assert!(field(&vm["reason"], "hint").contains("--subnet"), "{vm}");
    host.pwctl_ok(&["rm", "a"]);
    host.wait_for_status("e", "RUNNING");
}

#[test]
fn a_full_disk_says_so_disturbs_nobody_and_mends_itself() {
    let directory = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let small = Mount::tmpfs(&state, "400M");
    let mut host = Host::with_state(directory, state.clone());
    host.start(&["up"]);
    host.wait_until_up();
    host.create_debian("one");
    let boot = host.ssh_ok("one", "cat /proc/sys/kernel/random/boot_id");
    let ballast = state.join("ballast");
    // Fills the disk to the last block; that this ends in failure is its purpose.
    let filled = host
        .command("dd")
        .args(["if=/dev/zero", &format!("of={}", ballast.display()), "bs=64k"])
        .output()
        .unwrap();
    assert!(!filled.status.success(), "the disk is not full");

    let output = host.pwctl(&[
        "create",
        "two",
        "--image",
        &debian(),
        "--memory",
        "256M",
        "--disk",
        "512M",
    ]);
    assert!(!output.status.success(), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("full") || said.contains("space"), "{said}");
    assert_eq!(host.ssh_ok("one", "cat /proc/sys/kernel/random/boot_id"), boot);

    std::fs::remove_file(&ballast).unwrap();
    if host.pwctl(&["get", "two"]).status.success() {
        host.wait_for_status("two", "RUNNING");
    } else {
        host.create_debian("two");
    }
    host.pwctl_ok(&["rm", "one", "two"]);
    host.assert_no_vm_left();
    drop(host);
    drop(small);
}

/// A small file system, unmounted when dropped.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: &str) -> Self {
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "tmpfs",
                &at.display().to_string(),
            ],
        );
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_subnet_in_use_is_refused_with_the_one_to_give() {
    let mut host = Host::new();
    run(
        "ip",
        &["-n", &host.namespace, "link", "add", "other0", "type", "bridge"],
    );
    run(
        "ip",
        &[
            "-n",
            &host.namespace,
            "addr",
            "add",
            "172.30.9.1/24",
            "dev",
            "other0",
        ],
    );
    run("ip", &["-n", &host.namespace, "link", "set", "other0", "up"]);
    let output = host.pitwall(&["up"]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output);
    let proposal = said
        .split("--subnet ")
        .nth(1)
        .unwrap_or_else(|| panic!("no subnet is proposed: {said}"));
    let subnet: String = proposal
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '/'))
        .collect();
    assert_eq!(host.links(), Vec::<String>::new());
    host.start(&["up", "--subnet", &subnet]);
    host.wait_until_up();
}
