//! The same life under real Firecracker and its jailer.
//!
//! On a host whose KVM only interprets guests it takes a kernel made for that, which boots in seconds where an ordinary one
//! never would. Each fork takes such a guest half a second, so the image is small and the commands are few.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::env::{Host, field, quote, target, text};
use crate::registry::busybox;

/// Avoids what such a KVM cannot interpret.
const EMULATION_ARGUMENTS: &str = "reboot=k panic=1 acpi=off tsc=reliable no_timer_check lpj=10000000 \
     random.trust_cpu=1 noxsave nosmap clearcpuid=popcnt,cx16,erms,fsrm,rdtscp,smap quiet loglevel=1";

/// None, with a word why, where Firecracker cannot run guests; with `CI=true` that is a failure.
fn firecracker_host() -> Option<(Host, PathBuf)> {
    let programs = target().join("firecracker");
    let host = Host::new();
    let config = host.state().with_file_name("config.toml");
    let there = |name: &str| programs.join(name).is_file();
    let why = if !there("firecracker") || !there("jailer") {
        "there is no Firecracker; get it with: scripts/firecracker"
    } else if runs_guests(&host) {
        fs::write(&config, settings(&programs, "")).unwrap();
        return Some((host, config));
    } else if there("vmlinux") {
        let own = format!(
            "kernel = \"{0}/vmlinux\"\ncpu_template = \"{0}/cpu-template.json\"\n\
             kernel_arguments = \"{EMULATION_ARGUMENTS}\"\n[host]\ndriver = \"firecracker\"\naccelerator = \"kvm\"\n",
            programs.display()
        );
        fs::write(&config, settings(&programs, &own)).unwrap();
        return Some((host, config));
    } else {
        "KVM runs no guests here, and there is no emulation rig: set PITWALL_EMULATION_RIG for scripts/firecracker"
    };
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
    // Past the harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}

fn settings(programs: &Path, more: &str) -> String {
    format!(
        "[firecracker]\nbinary = \"{0}/firecracker\"\njailer = \"{0}/jailer\"\n{more}",
        programs.display()
    )
}

/// Whether the processor does, as the doctor says.
fn runs_guests(host: &Host) -> bool {
    let doctor = host.pitwall(&["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    field(&report, "acceleration").starts_with("hardware")
}

/// What a VM has on its host at run time: folders, jails, control groups, mounts.
fn traces(host: &Host, vm: &Value) -> Vec<String> {
    let id = field(vm, "id");
    let places = [
        host.run_directory().join("firecracker").join(&id),
        host.state().join("jails/firecracker").join(id.replace('_', "-")),
        Path::new("/sys/fs/cgroup/pitwall").join(&id),
        Path::new("/sys/fs/cgroup/memory/pitwall").join(&id),
    ];
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(&id.replace('_', "-")));
    let places = places.iter().filter(|place| place.exists());
    places
        .map(|place| place.display().to_string())
        .chain(mounts.map(str::to_owned))
        .collect()
}

fn assert_nothing_runs(host: &Host, vm: &Value) {
    assert_eq!(host.vmms(), Vec::<i32>::new());
    assert_eq!(traces(host, vm), Vec::<String>::new());
}

#[test]
fn a_jailed_vm_lives_stops_starts_is_adopted_powers_off_and_leaves_nothing() {
    let Some((mut host, config)) = firecracker_host() else {
        return;
    };
    let config = config.display().to_string();
    let directory = tempfile::tempdir().unwrap();
    let image = busybox(&directory.path().join("layout"));
    host.start(&["up", "--config", &config]);
    host.wait_until_up();
    host.pwctl_ok(&[
        "create", "one", "--image", &image, "--memory", "128M", "--disk", "128M",
    ]);
    let vm = host.get("one");
    assert_eq!(field(&vm, "status"), "RUNNING");
    let [pid] = host.vmms()[..] else {
        panic!("not one VMM: {:?}", host.vmms())
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    // The number of 172.30.0.3 in its subnet, above the first.
    assert!(
        status.contains("Uid:\t1879048195\t"),
        "it is not jailed: {status}"
    );

    assert_eq!(host.ssh_ok("one", "echo out; cat /etc/hostname"), "out\none\n");
    let ended = host.ssh("one", "exit 37");
    assert_eq!(ended.status.code(), Some(37), "{}", text(&ended));
    with_a_terminal(&host);
    files_both_ways(&host, directory.path());

    host.pwctl_ok(&["stop", "one"]);
    assert_eq!(host.status("one"), "STOPPED");
    assert_nothing_runs(&host, &vm);
    host.pwctl_ok(&["start", "one"]);
    let boot = host.ssh_ok("one", "cat /kept /proc/sys/kernel/random/boot_id");
    assert!(boot.starts_with("kept\n"), "{boot}");

    host.kill();
    host.start(&["up", "--config", &config]);
    host.wait_until_up();
    let adopted = host.wait_for_status("one", "RUNNING");
    assert_eq!(field(&adopted, "host_key"), field(&vm, "host_key"));
    let after = host.ssh_ok("one", "cat /kept /proc/sys/kernel/random/boot_id");
    assert_eq!(after, boot, "it was restarted");

    // Under Firecracker a power-off is a reset; only the guest's last word makes it one.
    host.ssh("one", "poweroff");
    host.wait_for_status("one", "STOPPED");
    assert_nothing_runs(&host, &vm);
    host.pwctl_ok(&["rm", "one"]);
    assert_nothing_runs(&host, &vm);
    host.assert_no_vm_left();
}

fn with_a_terminal(host: &Host) {
    let line = host.pwctl_ok(&["ssh-command", "one"]);
    let line = line.trim().replacen("ssh ", "ssh -tt ", 1);
    let script = format!("script -qec {} /dev/null", quote(&format!("{line} tty")));
    let mut command = host.command("bash");
    command
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut session = command.spawn().unwrap();
    // A terminal whose person has gone is hung up.
    let person = session.stdin.take();
    let output = session.wait_with_output().unwrap();
    drop(person);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("/dev/pts/"),
        "{}",
        text(&output)
    );
}

fn files_both_ways(host: &Host, directory: &Path) {
    let (there, back) = (directory.join("there"), directory.join("back"));
    fs::write(&there, "kept\n").unwrap();
    let batch = format!("put {} /kept\nget /kept {}\n", there.display(), back.display());
    let batch_file = directory.join("batch");
    fs::write(&batch_file, batch).unwrap();
    let line = host.pwctl_ok(&["ssh-command", "one"]);
    let line = line.trim().replacen("ssh ", "", 1).replace("-p ", "-P ");
    let script = format!("sftp -b {} {line}", batch_file.display());
    let output = host.command("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(fs::read_to_string(&back).unwrap(), "kept\n");
}
