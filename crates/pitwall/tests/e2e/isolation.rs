//! What VMs may see of each other and of the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::env::Host;

#[test]
fn two_vms_of_one_image_share_nothing_and_cannot_reach_each_other() {
    let host = Host::up();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| host.create_debian("one"));
        let two = scope.spawn(|| host.create_debian("two"));
        (one.join(), two.join())
    });
    one.unwrap();
    two.unwrap();
    only_what_nobody_writes_is_shared(&host);
    host.ssh_ok("one", "echo of-one > /root/mark; echo of-one > /etc/motd");
    assert_eq!(host.ssh("two", "cat /root/mark").status.code(), Some(1));
    assert_ne!(host.ssh_ok("two", "cat /etc/motd"), "of-one\n");

    let address = |vm: &str| crate::env::field(&host.get(vm), "address");
    let (one, two) = (address("one"), address("two"));
    assert_ne!(one, two);
    for (from, to) in [("one", &two), ("two", &one)] {
        let reached = host.ssh(from, &format!("timeout 3 bash -c 'echo > /dev/tcp/{to}/2222'"));
        assert!(!reached.status.success(), "{from} reaches {to}");
        assert!(
            !host.ssh(from, &format!("ping -c 1 -W 2 {to}")).status.success(),
            "{from} pings {to}"
        );
    }
    // The same probe succeeds where it should: the host reaches both, and both reach what is outside.
    for to in [&one, &two] {
        let reached = host
            .command("bash")
            .args(["-c", &format!("echo > /dev/tcp/{to}/2222")])
            .status()
            .unwrap();
        assert!(reached.success(), "the host does not reach {to}");
    }
    host.ssh_ok("one", "ping -c 1 -W 5 198.51.100.1");
    // A service of the host, here the API's own kind, is not for guests.
    for address in ["172.30.0.1", "198.51.100.2"] {
        let mut service = host
            .command("python3")
            .args(["-m", "http.server", "--bind", address, "8123"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        crate::env::until("the service listens", std::time::Duration::from_secs(20), || {
            let probe = host
                .command("bash")
                .args(["-c", &format!("echo > /dev/tcp/{address}/8123")])
                .output()
                .unwrap();
            probe.status.success().then_some(())
        });
        let reached = host.ssh(
            "one",
            &format!("timeout 3 bash -c 'echo > /dev/tcp/{address}/8123'"),
        );
        service.kill().unwrap();
        service.wait().unwrap();
        assert!(!reached.status.success(), "a guest reaches {address} of the host");
    }
}

/// The VMMs have the one disk of kernel modules open, not a copy each, and nothing in common that one of them may write.
fn only_what_nobody_writes_is_shared(host: &Host) {
    let [one, two] = host.vmms()[..] else {
        panic!("two VMMs: {:?}", host.vmms())
    };
    let (one, two) = (open_files(one), open_files(two));
    let shared: BTreeMap<_, _> = one.iter().filter(|(file, _)| two.contains_key(file)).collect();
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bundle");
    let modules = fs::metadata(bundle.join("modules.erofs")).unwrap();
    assert_eq!(
        shared.get(&(modules.dev(), modules.ino())),
        Some(&&false),
        "{shared:?}"
    );
    for file in shared.keys() {
        assert!(!one[file] && !two[file], "both have {file:?}");
    }
    for files in [&one, &two] {
        assert!(
            files.values().any(|writes| *writes),
            "a disk of its own: {files:?}"
        );
    }
}

/// The regular files that a process has open, by device and inode, and whether it may write them (proc_pid_fdinfo(5)).
fn open_files(pid: i32) -> BTreeMap<(u64, u64), bool> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut files = BTreeMap::new();
    for number in fs::read_dir(process.join("fd")).unwrap() {
        let number = number.unwrap().file_name();
        let Ok(file) = fs::metadata(process.join("fd").join(&number)) else {
            continue;
        };
        if file.is_file() {
            let info = fs::read_to_string(process.join("fdinfo").join(&number)).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let writes = i32::from_str_radix(flags.trim(), 8).unwrap() & 3 != 0;
            *files.entry((file.dev(), file.ino())).or_default() |= writes;
        }
    }
    files
}
