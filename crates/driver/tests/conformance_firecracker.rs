//! Firecracker passes the suite, with the real jailer and guests of a few instructions, which every KVM runs; and what is
//! promised of jails.

#[path = "support/confined.rs"]
mod confined;
#[path = "support/guest.rs"]
mod guest;
#[path = "support/jails.rs"]
mod jails;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use confined::{assert_limited, assert_nobody};
use driver::conformance::{self, Fixture, Guest};
use driver::firecracker::{Config, Firecracker, Paths, arguments};
use driver::{Disk, Driver, DriverError, Kernel, MachineSpec, Observation};
use jails::Jails;
use model::ReasonCode;

#[tokio::test(flavor = "multi_thread")]
async fn firecracker_passes() {
    let Some(host) = Jails::new() else { return };
    if let Err(broken) = conformance::run(&host).await {
        panic!("{broken}: {:?}", std::error::Error::source(&broken));
    }
}

fn disk(path: &Path, read_only: bool) -> Disk {
    Disk {
        path: path.to_owned(),
        serial: "pw-any".into(),
        read_only,
    }
}

/// A machine with the shared image and a disk of its own.
fn with_disks(host: &Jails, own: &str) -> MachineSpec {
    MachineSpec {
        disks: vec![
            disk(&host.path("image"), true),
            disk(&host.file(own, &[0; 4096]), false),
        ],
        ..host.spec(Guest::Idles)
    }
}

/// Whether this user can read the file.
fn can_read(user: u32, file: &Path) -> bool {
    let mut cat = Command::new("/bin/cat");
    cat.arg(file).uid(user).gid(user).current_dir("/");
    cat.stdout(Stdio::null()).stderr(Stdio::null());
    cat.status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jail_holds_links_to_its_own_files_and_no_other_jail_reads_them() {
    let Some(host) = Jails::new() else { return };
    let image = host.file("image", &[7; 4096]);
    let driver = host.firecracker();
    let specs = [with_disks(&host, "disk-a"), with_disks(&host, "disk-b")];
    for spec in &specs {
        driver.ensure(spec).await.unwrap();
    }
    let [first, second] = &specs;
    for spec in &specs {
        let jail = host.jail(spec.id);
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&jail.join("disk0")), inode(&image), "the image was copied");
        assert_eq!(inode(&jail.join("disk1")), inode(&spec.disks[1].path));
        let seen = fs::read_dir(format!("/proc/{}/root", host.pid(spec.id))).unwrap();
        let seen: BTreeSet<_> = seen
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = [
            "api.sock",
            "ctl.sock",
            "dev",
            "disk0",
            "disk1",
            "firecracker",
            "firecracker.pid",
            "initramfs",
            "run",
            "vmlinux",
        ];
        assert_eq!(seen, expected.map(str::to_owned).into());
    }
    let own = &first.disks[1].path;
    assert!(can_read(first.owner, own));
    assert!(!can_read(second.owner, own));
    assert!(!can_read(second.owner, &host.jail(first.id).join("disk1")));
    assert!(can_read(second.owner, &image));
    for spec in &specs {
        driver.destroy(spec.id).await.unwrap();
        assert!(spec.disks.iter().all(|disk| disk.path.exists()));
    }
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmm_is_confined_in_every_way() {
    let Some(host) = Jails::new() else { return };
    let driver = host.firecracker();
    let spec = host.spec(Guest::Idles);
    driver.ensure(&spec).await.unwrap();
    let pid = host.pid(spec.id);
    assert_nobody(pid, &spec, &["mnt"]);
    assert_limited(pid, &spec, &host.groups(spec.id), 128 << 20);
    driver.destroy(spec.id).await.unwrap();
    assert_eq!(host.groups(spec.id), Vec::<std::path::PathBuf>::new());
}

/// What the VMM's own API answers, with its headers.
fn ask(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    // The connection stays open, so the end is that of the document.
    while !answer.ends_with(b"}") {
        let mut part = [0; 4096];
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend(&part[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balloon_takes_nothing_and_keeps_statistics() {
    let Some(host) = Jails::new() else { return };
    let driver = host.firecracker();
    let spec = host.spec(Guest::Idles);
    driver.ensure(&spec).await.unwrap();
    let answer = ask(&host.jail(spec.id).join("api.sock"), "/balloon/statistics").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"target_mib\":0"), "{answer}");
    driver.destroy(spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_file_system_is_mounted_and_no_mount_stays() {
    let Some(host) = Jails::new() else { return };
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let image = elsewhere.path().join("image");
    fs::write(&image, [7; 4096]).unwrap();
    assert_ne!(
        fs::metadata(&image).unwrap().dev(),
        fs::metadata(host.path("idles")).unwrap().dev(),
        "this test needs two file systems"
    );
    let spec = MachineSpec {
        disks: vec![disk(&image, true)],
        ..host.spec(Guest::Idles)
    };
    let driver = host.firecracker();
    driver.ensure(&spec).await.unwrap();
    assert_eq!(host.mounts().len(), 1, "{:?}", host.mounts());
    assert!(host.mounts()[0].contains(" ro"), "{:?}", host.mounts());
    // As after a restart of Pitwall.
    host.firecracker().destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
    assert_eq!(fs::read(&image).unwrap(), [7; 4096]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_firecracker_refuses_is_told_in_its_words_and_leaves_nothing() {
    let Some(host) = Jails::new() else { return };
    let mut spec = host.spec(Guest::Idles);
    spec.kernel = Some(Kernel {
        vmlinux: host.file("text", b"this is no kernel"),
        ..spec.kernel.unwrap()
    });
    let driver = host.firecracker();
    let error = driver.ensure(&spec).await.unwrap_err();
    assert!(matches!(error, DriverError::Api { .. }), "{error}");
    let reason = error.reason();
    assert_eq!(reason.code, ReasonCode::VmmFailed);
    assert!(reason.message.contains("refused /actions"), "{reason:?}");
    assert_eq!(driver.observe(spec.id).await.unwrap(), Observation::Absent);
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmm_that_was_never_told_what_to_run_is_ended_by_who_finds_it() {
    let Some(host) = Jails::new() else { return };
    let spec = host.spec(Guest::Idles);
    fs::create_dir_all(host.jail(spec.id)).unwrap();
    let config = host.config();
    let paths = Paths {
        firecracker: &config.firecracker,
        jails: &config.jails,
    };
    let mut jailer = Command::new(&config.jailer);
    jailer
        .args(arguments(&spec, &paths, 1 << 20))
        .stdout(Stdio::null());
    let mut vmm = jailer.spawn().unwrap();
    // It is found by its arguments and its root alone: nothing was written down.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !host.jail(spec.id).join("api.sock").exists() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the jailer did not come up"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let driver = host.firecracker();
    let found = driver.recover().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    tokio::time::timeout(Duration::from_secs(20), driver.wait_ended(spec.id))
        .await
        .unwrap();
    driver.destroy(spec.id).await.unwrap();
    // Whoever saw its end has reaped it.
    assert!(vmm.wait().map_or(true, |status| !status.success()));
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jail_without_a_folder_is_swept_after_a_reboot() {
    let Some(host) = Jails::new() else { return };
    let spec = host.spec(Guest::Idles);
    let driver = host.firecracker();
    driver.ensure(&spec).await.unwrap();
    host.kill(spec.id).await;
    driver.wait_ended(spec.id).await;
    fs::remove_dir_all(host.path("run")).unwrap();
    assert_eq!(host.firecracker().recover().await.unwrap(), []);
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test]
async fn the_probe_says_what_is_missing() {
    let Some(host) = Jails::new() else { return };
    let probed = Firecracker::new(Config {
        unprobed: false,
        ..host.config()
    });
    match probed.probe().await {
        Ok(verdict) => assert!(verdict.vmm.contains("Firecracker v"), "{verdict:?}"),
        Err(error) => {
            assert!(matches!(error, DriverError::NoProcessor { .. }), "{error}");
            assert_eq!(error.reason().code, ReasonCode::HostNotReady);
            assert!(error.reason().message.contains("/dev/kvm"), "{error}");
        }
    }
    let absent = Firecracker::new(Config {
        jailer: "/nowhere/jailer".into(),
        ..host.config()
    });
    let error = absent.probe().await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/jailer"), "{error}");
}
