//! A host of QEMU machines: a directory of the test's own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's own host may stop the test, and tells why"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use driver::conformance::{Fixture, Guest};
use driver::qemu::{Config, Qemu};
use driver::{Accelerator, Driver, Kernel, MachineSpec};
use model::{ByteSize, VmId};

use crate::{guest, microvm};

static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// The first user of these tests' machines; nobody else's on any machine.
const FIRST_OWNER: u32 = 0x7000_0000;

/// Where control groups of machines lie, in either version.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/pitwall", "/sys/fs/cgroup/memory/pitwall"];

pub(crate) struct QemuHost {
    directory: tempfile::TempDir,
    /// Those given out.
    ids: Mutex<Vec<VmId>>,
}

impl QemuHost {
    /// None, with a word why, where QEMU cannot be confined; with `CI=true` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        let found = std::process::Command::new("qemu-system-x86_64")
            .arg("--version")
            .output()
            .is_ok();
        let why = if !found {
            Some("qemu-system-x86_64 is not installed (apt-get install qemu-system-x86)")
        } else if !nix::unistd::geteuid().is_root() {
            Some("confining QEMU needs root")
        } else {
            None
        };
        if let Some(why) = why {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
            println!("skipped: {why}");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
        // What others may not reach is to be the driver's doing.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let host = Self {
            directory,
            ids: Mutex::default(),
        };
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
        let default = self.config();
        Qemu::new(Config {
            binary: binary.map_or(default.binary, Into::into),
            ..default
        })
    }

    pub(crate) fn with_kvm(&self) -> Qemu {
        Qemu::new(Config {
            accelerator: Some(Accelerator::Hardware),
            ..self.config()
        })
    }

    /// One that chooses by what it finds.
    pub(crate) fn unforced(&self) -> Qemu {
        Qemu::new(Config {
            accelerator: None,
            ..self.config()
        })
    }

    fn config(&self) -> Config {
        Config {
            runtime_dir: self.path("run"),
            accelerator: Some(Accelerator::Software),
            ..Config::default()
        }
    }

    /// The VMM of a machine.
    pub(crate) fn pid(&self, id: VmId) -> u32 {
        let pids = self.pids(&id.to_string());
        assert_eq!(pids.len(), 1, "{pids:?}");
        pids[0]
    }

    /// The control groups of a machine, of either version.
    pub(crate) fn groups(&self, id: VmId) -> Vec<PathBuf> {
        let groups = GROUPS.map(|root| Path::new(root).join(id.to_string()));
        groups.into_iter().filter(|group| group.exists()).collect()
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

    /// Processes that write a console in this directory with the text in its path. The dead write none.
    fn pids(&self, text: &str) -> Vec<u32> {
        let directory = self.path("run");
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let output = std::fs::read_link(format!("/proc/{pid}/fd/1")).ok()?;
            let text_in = output.display().to_string().contains(text);
            (output.starts_with(&directory) && text_in).then_some(pid)
        });
        processes.collect()
    }
}

/// A test that failed leaves its machines running.
impl Drop for QemuHost {
    fn drop(&mut self) {
        for pid in self.pids("") {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
    }
}

#[async_trait::async_trait]
impl Fixture for QemuHost {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.qemu(None))
    }

    fn spec(&self, guest: Guest) -> MachineSpec {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut random = [1; 16];
        random[..4].copy_from_slice(&std::process::id().to_le_bytes());
        random[4..8].copy_from_slice(&number.to_le_bytes());
        let id = VmId::from_random(random);
        self.ids.lock().unwrap().push(id);
        let vmlinux = match guest {
            Guest::Idles => self.path("idles"),
            Guest::PowersOff => self.path("powers-off"),
        };
        MachineSpec {
            id,
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
            owner: FIRST_OWNER + number,
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
        let ids = self.ids.lock().unwrap();
        let groups = ids.iter().flat_map(|id| self.groups(*id));
        let groups = groups.map(|group| group.display().to_string());
        processes.chain(files).chain(groups).collect()
    }
}
