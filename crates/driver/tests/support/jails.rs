//! A host of jailed Firecracker machines: a directory of the test's own.

#![expect(clippy::unwrap_used, reason = "a test's own host may stop the test")]

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use driver::conformance::{Fixture, Guest};
use driver::firecracker::{Config, Firecracker};
use driver::{Driver, Kernel, MachineSpec};
use model::{ByteSize, VmId};

use crate::guest;

static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// The first user of these tests' machines; nobody else's on any machine.
const FIRST_OWNER: u32 = 0x7000_0000;

/// Where control groups of machines lie, in either version.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/pitwall", "/sys/fs/cgroup/memory/pitwall"];

pub(crate) struct Jails {
    directory: tempfile::TempDir,
    programs: PathBuf,
    /// Those given out.
    ids: Mutex<Vec<VmId>>,
}

impl Jails {
    /// None, with a word why, where machines cannot be jailed; with `CI=true` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/firecracker");
        let needed = [
            programs.join("firecracker"),
            programs.join("jailer"),
            "/dev/kvm".into(),
        ];
        let missing = needed.iter().find(|path| !path.exists());
        let why = match missing {
            Some(path) => Some(format!("{} is not there (scripts/firecracker)", path.display())),
            None if !nix::unistd::geteuid().is_root() => Some("jails need root".to_owned()),
            None => None,
        };
        if let Some(why) = why {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
            // Past the harness, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
        // What others may not reach is to be the driver's doing.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let host = Self {
            directory,
            programs: programs.canonicalize().unwrap(),
            ids: Mutex::default(),
        };
        host.file("idles", &guest::idles());
        host.file("ends", &ends());
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

    pub(crate) fn firecracker(&self) -> Firecracker {
        Firecracker::new(self.config())
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            firecracker: self.programs.join("firecracker"),
            jailer: self.programs.join("jailer"),
            runtime_dir: self.path("run"),
            jails: self.path("jails"),
            control_port: 1022,
            kernel_arguments: None,
            cpu_template: None,
            unprobed: true,
        }
    }

    /// The root directory of a machine's jail.
    pub(crate) fn jail(&self, id: VmId) -> PathBuf {
        self.path("jails/firecracker").join(jailed(id)).join("root")
    }

    /// The VMM of a machine.
    pub(crate) fn pid(&self, id: VmId) -> u32 {
        let pids = pids(id);
        assert_eq!(pids.len(), 1, "{pids:?}");
        pids[0]
    }

    /// The control groups of a machine, of either version.
    pub(crate) fn groups(&self, id: VmId) -> Vec<PathBuf> {
        let groups = GROUPS.map(|root| Path::new(root).join(id.to_string()));
        groups.into_iter().filter(|group| group.exists()).collect()
    }

    /// What is mounted in jails of this host.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = self.path("jails").display().to_string();
        let lines = mounts.lines().filter(|line| line.contains(&ours));
        lines.map(str::to_owned).collect()
    }
}

/// A guest that writes `hello` and resets the machine as Firecracker knows it, by its keyboard controller: `mov al, 0xfe;
/// out 0x64, al`.
fn ends() -> Vec<u8> {
    guest::kernel(&[guest::says("hello\n"), vec![0xb0, 0xfe, 0xe6, 0x64]])
}

fn jailed(id: VmId) -> String {
    id.to_string().replace('_', "-")
}

/// Processes of a machine. The dead are left out: their arguments are empty.
fn pids(id: VmId) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        arguments.contains(&jailed(id)).then_some(pid)
    });
    processes.collect()
}

/// A test that failed leaves its machines running.
impl Drop for Jails {
    fn drop(&mut self) {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in ids.iter().flat_map(|id| pids(*id)) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

#[async_trait::async_trait]
impl Fixture for Jails {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.firecracker())
    }

    fn spec(&self, guest: Guest) -> MachineSpec {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 16];
        random[..4].copy_from_slice(&std::process::id().to_le_bytes());
        random[4..8].copy_from_slice(&number.to_le_bytes());
        let id = VmId::from_random(random);
        self.ids.lock().unwrap().push(id);
        let vmlinux = match guest {
            Guest::Idles => self.path("idles"),
            Guest::PowersOff => self.path("ends"),
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
            console: true,
            owner: FIRST_OWNER + number,
        }
    }

    async fn started(&self, _id: VmId, _guest: Guest) {}

    async fn kill(&self, id: VmId) {
        let pid = self.pid(id).to_string();
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    }

    async fn damage(&self, id: VmId) {
        let folder = self.path("run").join(id.to_string());
        std::fs::write(folder.join("machine.json"), b"{ nonsense").unwrap();
        std::fs::remove_file(self.jail(id).join("api.sock")).unwrap();
    }

    fn running(&self, id: VmId) -> usize {
        pids(id).len()
    }

    fn runs_as(&self, id: VmId) -> Option<u32> {
        let process = std::fs::metadata(format!("/proc/{}", self.pid(id)));
        Some(process.ok()?.uid())
    }

    fn leftovers(&self) -> Vec<String> {
        let below = |directory: &Path| {
            let entries = std::fs::read_dir(directory).into_iter().flatten();
            let paths = entries.map(|entry| entry.unwrap().path().display().to_string());
            paths.collect::<Vec<_>>()
        };
        let ids = self.ids.lock().unwrap();
        let groups = ids.iter().flat_map(|id| self.groups(*id));
        let mut left = below(&self.path("run"));
        left.extend(below(&self.path("jails/firecracker")));
        left.extend(self.mounts());
        left.extend(groups.map(|group| group.display().to_string()));
        left
    }
}
