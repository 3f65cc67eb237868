//! The same life under real Firecracker and its jailer.
//!
//! On a host whose KVM only interprets guests it takes a kernel made for that, which boots in seconds where an ordinary one
//! never would. Each fork takes such a guest half a second, so the image is small and the commands are few. Now and then (4
//! of 140 programs, measured) such a KVM loses a program's thread pointer, and that dies of it; so what may be said again is
//! said again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::env::{Host, PATIENCE, field, target, text, until};
use crate::registry::layered;
use crate::terminal::on_a_terminal;

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

/// What the doctor finds of Firecracker, and its advice.
fn diagnosis(host: &Host, programs: &str) -> (String, String) {
    let config = host.state().with_file_name("config.toml");
    fs::write(&config, settings(Path::new(programs), "")).unwrap();
    let config = config.display().to_string();
    let doctor = host
        .pitwall(&["doctor", "--json", "--config", &config])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["what"] == "firecracker");
    let finding = finding.unwrap_or_else(|| panic!("nothing is said of it: {report}"));
    (field(finding, "found"), field(finding, "mend"))
}

#[test]
fn the_doctor_tells_how_to_get_firecracker_and_where_it_is_of_no_use() {
    let host = Host::new();
    let (found, mend) = diagnosis(&host, "/nowhere");
    assert!(found.contains("/nowhere/firecracker"), "{found}");
    assert!(mend.contains("/firecracker/releases"), "{mend}");

    let programs = target().join("firecracker");
    if programs.join("jailer").is_file() && !runs_guests(&host) {
        let (found, mend) = diagnosis(&host, &programs.display().to_string());
        assert!(found.contains("needs a processor that runs guests"), "{found}");
        assert!(
            mend.contains("take a machine whose /dev/kvm runs guests"),
            "{mend}"
        );
    }
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

/// What a command in the VM prints, once it succeeds.
fn ask(host: &Host, command: &str) -> String {
    until(command, PATIENCE, || {
        let answer = host.ssh("one", command);
        let printed = String::from_utf8(answer.stdout).unwrap();
        answer.status.success().then_some(printed)
    })
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
    // Its disks have no names under Firecracker, only an order.
    let image = layered(&directory.path().join("layout"), 3);
    host.start(&["up", "--config", &config]);
    host.wait_until_up();
    host.pwctl_ok(&[
        "create",
        "one",
        "--image",
        &image,
        "--memory",
        "128M",
        "--disk",
        "128M",
        "--",
        "sh",
        "-c",
        "echo served",
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

    let seen = ask(&host, "echo out; cat /etc/hostname /layers/1 /layers/2");
    assert_eq!(seen, "out\none\n1\n2\n");
    until("its exit status comes through", PATIENCE, || {
        (host.ssh("one", "exit 37").status.code() == Some(37)).then_some(())
    });
    until("a terminal of its own", PATIENCE, || {
        in_a_terminal_of_one(&host, "tty")
            .contains("/dev/pts/")
            .then_some(())
    });
    files_both_ways(&host, directory.path());

    host.pwctl_ok(&["stop", "one"]);
    assert_eq!(host.status("one"), "STOPPED");
    assert_nothing_runs(&host, &vm);
    host.pwctl_ok(&["start", "one"]);
    let boot = ask(&host, "cat /kept /proc/sys/kernel/random/boot_id");
    assert!(boot.starts_with("kept\n"), "{boot}");

    host.kill();
    host.start(&["up", "--config", &config]);
    host.wait_until_up();
    let adopted = host.wait_for_status("one", "RUNNING");
    assert_eq!(field(&adopted, "host_key"), field(&vm, "host_key"));
    let after = ask(&host, "cat /kept /proc/sys/kernel/random/boot_id");
    assert_eq!(after, boot, "it was restarted");

    over_the_channel(&host, directory.path());
    reboots(&host);

    // Under Firecracker a power-off is a reset; only the guest's last word makes it one.
    until("it is off", PATIENCE, || {
        host.ssh("one", "poweroff");
        (host.status("one") == "STOPPED").then_some(())
    });
    assert_nothing_runs(&host, &vm);
    host.pwctl_ok(&["rm", "one"]);
    assert_nothing_runs(&host, &vm);
    host.assert_no_vm_left();
}

/// What needs no SSH goes through the VM's socket for its guest.
fn over_the_channel(host: &Host, directory: &Path) {
    let back = directory.join("copied").display().to_string();
    host.pwctl_ok(&["cp", "one:/kept", &back]);
    assert_eq!(fs::read_to_string(&back).unwrap(), "kept\n");
    until("its service has printed", PATIENCE, || {
        host.pwctl_ok(&["logs", "one"]).contains("served").then_some(())
    });
    let refused = host.pwctl(&["console", "one"]);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("--console"), "{}", text(&refused));
    let kernel = run(host, &["dmesg"]);
    let lacks = kernel.contains("this kernel has no loadable modules, no netfilter, no IPv6");
    let modules = run(host, &["sh", "-c", "cat /proc/modules 2>/dev/null || echo none"]);
    assert_eq!(lacks, modules == "none\n", "{kernel}");
}

/// What a program in the VM prints, started without SSH, once it succeeds.
fn run(host: &Host, words: &[&str]) -> String {
    let words = [&["exec", "one", "--"], words].concat();
    until(&words.join(" "), PATIENCE, || {
        let answer = host.pwctl(&words);
        let printed = String::from_utf8(answer.stdout).unwrap();
        answer.status.success().then_some(printed)
    })
}

/// It is asked on, and keeps what was its own.
fn reboots(host: &Host) {
    let seen = ["cat", "/kept", "/proc/sys/kernel/random/boot_id"];
    let before = run(host, &seen);
    until("it boots again", PATIENCE, || {
        host.pwctl(&["exec", "one", "--", "reboot"]);
        let now = run(host, &seen);
        assert!(now.starts_with("kept\n"), "{now}");
        (now != before).then_some(())
    });
}

/// What a command prints on a terminal.
fn in_a_terminal_of_one(host: &Host, command: &str) -> String {
    let line = host.pwctl_ok(&["ssh-command", "one"]);
    let line = line.trim().replacen("ssh ", "ssh -tt ", 1);
    on_a_terminal(host, &format!("{line} {command}"))
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
    until(&script, PATIENCE, || {
        let output = host.command("bash").args(["-c", &script]).output().unwrap();
        output.status.success().then_some(())
    });
    assert_eq!(fs::read_to_string(&back).unwrap(), "kept\n");
}
