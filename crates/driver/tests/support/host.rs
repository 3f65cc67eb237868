//! A host of QEMU machines: a directory of the test's own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's own host may stop the test, and tells why"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use driver::conformance::{Fixture, Guest};
use driver::qemu::{Config, Qemu};
use driver::{Accelerator, Driver, Kernel, MachineSpec};
use model::{ByteSize, VmId};

use crate::{guest, microvm};

static IDS: AtomicU8 = AtomicU8::new(0);

pub(crate) struct QemuHost {
    directory: tempfile::TempDir,
}

impl QemuHost {
    /// None, with a word why, where there is no QEMU; with `CI=true` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        let found = std::process::Command::new("qemu-system-x86_64")
            .arg("--version")
            .output()
            .is_ok();
        if !found {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "qemu-system-x86_64 is not installed"
            );
            println!("skipped: qemu-system-x86_64 is not installed (apt-get install qemu-system-x86)");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
        let host = Self { directory };
        host.file("idles", &guest::idles());
        host.file("powers-off", &microvm::powers_off());
        host.file("initramfs", &[0; 512]);
        Some(host)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn qemu(&self, binary: Option<&str>) -> Qemu {
        let default = Config::default();
        Qemu::new(Config {
            binary: binary.map_or(default.binary, Into::into),
            runtime_dir: self.path("run"),
            accelerator: Some(Accelerator::Software),
        })
    }

    pub(crate) fn deeper(&self, name: &str) -> Qemu {
        let runtime_dir = self.path("run").join(name);
        Qemu::new(Config {
            runtime_dir,
            accelerator: Some(Accelerator::Software),
            ..Config::default()
        })
    }

    pub(crate) fn signal(&self, id: VmId, signal: &str) {
        for pid in self.pids(&id.to_string()) {
            std::process::Command::new("kill")
                .args([signal, &pid.to_string()])
                .status()
                .unwrap();
        }
    }

    /// Processes that have this directory and the text in one of their arguments. The dead are left out: their
    /// arguments are empty.
    fn pids(&self, text: &str) -> Vec<u32> {
        let directory = self.path("run").display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            (arguments.contains(&directory) && arguments.contains(text)).then_some(pid)
        });
        processes.collect()
    }
}

#[async_trait::async_trait]
impl Fixture for QemuHost {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.qemu(None))
    }

    fn spec(&self, guest: Guest) -> MachineSpec {
        let number = IDS.fetch_add(1, Ordering::Relaxed);
        let mut random = [number; 16];
        random[..4].copy_from_slice(&std::process::id().to_le_bytes());
        let vmlinux = match guest {
            Guest::Idles => self.path("idles"),
            Guest::PowersOff => self.path("powers-off"),
        };
        MachineSpec {
            id: VmId::from_random(random),
            name: format!("vm-{number}"),
            cpus: 1,
            memory: ByteSize::from_mib(32),
            disks: Vec::new(),
            nic: None,
            kernel: Some(Kernel {
                vmlinux,
                initramfs: self.path("initramfs"),
                extra_args: Vec::new(),
            }),
            console: false,
            owner: 0,
        }
    }

    async fn started(&self, _id: VmId, _guest: Guest) {}

    async fn kill(&self, id: VmId) {
        self.signal(id, "-KILL");
    }

    async fn damage(&self, id: VmId) {
        let folder = self.path("run").join(id.to_string());
        std::fs::write(folder.join("machine.json"), b"{ nonsense").unwrap();
        std::fs::remove_file(folder.join("qmp.sock")).unwrap();
    }

    fn running(&self, id: VmId) -> usize {
        self.pids(&id.to_string()).len()
    }

    fn runs_as(&self, id: VmId) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        let pid = self.pids(&id.to_string()).first().copied()?;
        Some(std::fs::metadata(format!("/proc/{pid}")).ok()?.uid())
    }

    fn leftovers(&self) -> Vec<String> {
        let processes = self.pids("").into_iter().map(|pid| format!("process {pid}"));
        let files = std::fs::read_dir(self.path("run")).into_iter().flatten();
        let files = files.map(|file| file.unwrap().path().display().to_string());
        processes.chain(files).collect()
    }
}
