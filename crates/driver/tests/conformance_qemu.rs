//! QEMU passes the suite, with real processes and guests of a few instructions.

#[path = "support/confined.rs"]
mod confined;
#[path = "support/guest.rs"]
mod guest;
#[path = "support/host.rs"]
mod host;
#[path = "support/microvm.rs"]
mod microvm;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use confined::{assert_limited, assert_nobody};
use driver::conformance::{self, Fixture, Guest};
use driver::{
    Accelerator, Disk, Driver, DriverError, GuestWish, Kernel, MachineSpec, Observation, SpecFault,
};
use host::QemuHost;
use model::ReasonCode;
use tokio::io::AsyncReadExt;

#[tokio::test(flavor = "multi_thread")]
async fn qemu_passes() {
    let Some(host) = QemuHost::new() else { return };
    if let Err(broken) = conformance::run(&host).await {
        panic!("{broken}: {:?}", std::error::Error::source(&broken));
    }
}

#[tokio::test]
async fn the_probe_is_quick_and_says_why() {
    let Some(host) = QemuHost::new() else { return };
    let driver = host.qemu(None);
    let begin = Instant::now();
    let verdict = driver.probe().await.unwrap();
    println!("{verdict:?} after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(verdict.vmm.contains("QEMU"), "{verdict:?}");
    assert!(!verdict.why.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_powered_off_while_nobody_looked_is_no_death() {
    let Some(host) = QemuHost::new() else { return };
    let spec = host.spec(Guest::PowersOff);
    let before = host.qemu(None);
    // It is killed here the moment it has started its guest, as pitwall may be.
    before.ensure(&spec).await.unwrap();
    drop(before);
    let exit = host.qemu(None).wait_ended(spec.id).await;
    assert_eq!(exit.wish, Some(GuestWish::Off), "{exit:?}");
    host.qemu(None).destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_told_from_a_power_off_whether_or_not_somebody_looked() {
    let Some(host) = QemuHost::new() else { return };
    for looks in [true, false] {
        let mut spec = host.spec(Guest::PowersOff);
        spec.kernel = Some(Kernel {
            vmlinux: host.file("resets", &microvm::resets()),
            ..spec.kernel.unwrap()
        });
        let mut driver = host.qemu(None);
        driver.ensure(&spec).await.unwrap();
        if !looks {
            driver = host.qemu(None);
        }
        let exit = driver.wait_ended(spec.id).await;
        assert_eq!(exit.wish, Some(GuestWish::Reset), "{exit:?}");
        driver.destroy(spec.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_not_the_guests_wish() {
    let Some(host) = QemuHost::new() else { return };
    let mut spec = host.spec(Guest::PowersOff);
    spec.kernel = Some(Kernel {
        vmlinux: host.file("panics", &microvm::panics()),
        ..spec.kernel.unwrap()
    });
    let driver = host.qemu(None);
    driver.ensure(&spec).await.unwrap();
    let exit = driver.wait_ended(spec.id).await;
    assert_eq!(exit.wish, None, "{exit:?}");
    assert!(exit.console_tail.contains("Kernel panic"), "{exit:?}");
    driver.destroy(spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_qemu_refuses_is_told_in_its_words_and_leaves_nothing() {
    let Some(host) = QemuHost::new() else { return };
    let mut spec = host.spec(Guest::Idles);
    spec.kernel = Some(Kernel {
        vmlinux: host.path("missing"),
        ..spec.kernel.unwrap()
    });
    let driver = host.qemu(None);
    let error = driver.ensure(&spec).await.unwrap_err();
    assert!(error.to_string().contains("could not open kernel"), "{error}");
    assert_eq!(error.reason().code, ReasonCode::VmmFailed);
    assert_eq!(driver.observe(spec.id).await.unwrap(), Observation::Absent);
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test]
async fn a_missing_program_and_a_deep_directory_are_told_before_anything_is_made() {
    let Some(host) = QemuHost::new() else { return };
    let error = host
        .qemu(Some("no-such-qemu"))
        .ensure(&host.spec(Guest::Idles))
        .await
        .unwrap_err();
    assert_eq!(error.reason().code, ReasonCode::HostNotReady, "{error}");

    let deep = host.deeper(&"d".repeat(90));
    let error = deep.ensure(&host.spec(Guest::Idles)).await.unwrap_err();
    assert!(
        matches!(
            error,
            DriverError::Spec {
                source: SpecFault::SocketPath { .. },
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_ended_with_force() {
    let Some(host) = QemuHost::new() else { return };
    let spec = host.spec(Guest::Idles);
    let driver = host.qemu(None);
    driver.ensure(&spec).await.unwrap();
    host.signal(spec.id, "-STOP");
    driver.stop(spec.id, Duration::from_millis(200)).await.unwrap();
    let Observation::Ended(exit) = driver.observe(spec.id).await.unwrap() else {
        panic!("it runs")
    };
    assert_eq!(exit.signal, Some(9));
    driver.destroy(spec.id).await.unwrap();
}

fn disk(path: &Path, serial: &str, read_only: bool) -> Disk {
    Disk {
        path: path.to_owned(),
        serial: serial.into(),
        read_only,
    }
}

/// A machine with the shared image and a disk of its own.
fn with_disks(host: &QemuHost, own: &str) -> MachineSpec {
    MachineSpec {
        disks: vec![
            disk(&host.path("image"), "pw-root", true),
            disk(&host.file(own, &[0; 4096]), "pw-upper", false),
        ],
        ..host.spec(Guest::Idles)
    }
}

/// What a process of this user could do with a path in the root directory of another process: what `test` says.
fn can(user: u32, verb: &str, path: &Path) -> bool {
    use std::os::unix::process::CommandExt;
    let mut test = std::process::Command::new("/usr/bin/test");
    test.arg(verb).arg(path).uid(user).gid(user).current_dir("/");
    test.status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmm_sees_its_own_files_and_nobody_elses() {
    let Some(host) = QemuHost::new() else { return };
    let image = host.file("image", &[7; 4096]);
    let driver = host.qemu(None);
    let specs = [with_disks(&host, "disk-a"), with_disks(&host, "disk-b")];
    for spec in &specs {
        driver.ensure(spec).await.unwrap();
    }
    let [first, second] = &specs;
    let root = format!("/proc/{}/root", host.pid(first.id));
    let root = Path::new(&root);
    let within = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    let names = |directory: &Path| -> BTreeSet<_> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let machine = within(&host.path("")).to_path_buf();
    let expected = ["disk-a", "idles", "image", "initramfs"];
    assert_eq!(names(&machine), expected.map(str::to_owned).into());
    for hidden in [
        "proc",
        "sys",
        "dev",
        "home",
        "root",
        "var",
        "bin",
        "usr/bin/sh",
        "etc/passwd",
    ] {
        assert!(!root.join(hidden).exists(), "{hidden}");
    }
    let own = &first.disks[1].path;
    assert!(can(first.owner, "-w", own));
    assert!(!can(second.owner, "-r", own));
    assert!(can(first.owner, "-r", &image) && !can(first.owner, "-w", &image));
    // Not even root could write them there.
    assert!(fs::write(within(&image), "x").is_err());
    assert!(fs::write(root.join("new"), "x").is_err());
    for spec in &specs {
        driver.destroy(spec.id).await.unwrap();
        assert!(spec.disks.iter().all(|disk| disk.path.exists()));
    }
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmm_is_confined_in_every_way() {
    let Some(host) = QemuHost::new() else { return };
    let driver = host.qemu(None);
    let spec = host.spec(Guest::Idles);
    driver.ensure(&spec).await.unwrap();
    let pid = host.pid(spec.id);
    assert_nobody(pid, &spec, &["mnt", "net", "ipc", "uts", "pid"]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    assert!(
        core.is_some_and(|line| line.split_whitespace().nth(4) == Some("0")),
        "{limits}"
    );
    assert_limited(pid, &spec, &host.groups(spec.id), 512 << 20);
    driver.destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confined_vmm_reaches_kvm_where_guests_shall_run_on_it() {
    let Some(host) = QemuHost::new() else { return };
    if !Path::new("/dev/kvm").exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "there is no /dev/kvm");
        println!("skipped: there is no /dev/kvm");
        return;
    }
    let driver = host.with_kvm();
    let spec = host.spec(Guest::Idles);
    if let Err(error) = driver.ensure(&spec).await {
        // A KVM that interprets guests may know too little of a processor for QEMU, which then says another thing.
        assert!(!error.to_string().contains("access KVM"), "{error}");
        let runs_guests = host.unforced().probe().await.unwrap().accelerator == Accelerator::Hardware;
        assert!(!runs_guests, "{error}");
        println!("this host's KVM is reached and cannot run QEMU's machines: {error}");
        return;
    }
    let mut console = driver.console(spec.id).await.unwrap();
    let mut shown = [0; 5];
    let read = tokio::time::timeout(Duration::from_secs(60), console.read_exact(&mut shown));
    read.await.unwrap().unwrap();
    assert_eq!(&shown, b"idle\n");
    driver.destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_can_be_typed_on_after_adoption() {
    let Some(host) = QemuHost::new() else { return };
    let mut spec = host.spec(Guest::Idles);
    spec.kernel = Some(Kernel {
        vmlinux: host.file("echoes", &microvm::echoes()),
        ..spec.kernel.unwrap()
    });
    host.qemu(None).ensure(&spec).await.unwrap();
    for text in ["first", "second"] {
        // As after a restart of Pitwall.
        let driver = host.qemu(None);
        assert_eq!(driver.recover().await.unwrap().len(), 1);
        let mut console = driver.console(spec.id).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut console, text.as_bytes())
            .await
            .unwrap();
        let mut shown = Vec::new();
        let read = async {
            while !shown.ends_with(text.as_bytes()) {
                console.read_buf(&mut shown).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), read).await.unwrap();
    }
    let driver = host.qemu(None);
    assert!(driver.console_tail(spec.id).await.ends_with("firstsecond"));
    driver.destroy(spec.id).await.unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}
