//! A real server over a real control plane, and a host that does at once what it is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bus::Bus;
use control::{Clock, Control, ControlConfig};
use jiff::{SignedDuration, Timestamp};
use link::Link;
use model::{
    Capacity, Digest, Feature, HeldImage, HostId, InstallationId, Phase, Power, ProgramEnd, Reason,
    ReasonCode, Seen, ServiceSeen, ServiceState, VmBody, VmId,
};
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use wire::host::{HostPlan, HostReport, VmPlan, VmReport};

use crate::far::FakeVm;

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh me";
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh";

pub(crate) struct Cloud {
    pub(crate) folder: TempDir,
    /// The far end of every VM's streams.
    pub(crate) vm: FakeVm,
    address: SocketAddr,
    clock: Arc<Ahead>,
    finds: mpsc::UnboundedSender<VmReport>,
    /// What VMs that start from now on tell of their SSH server.
    way_in: Arc<Mutex<WayIn>>,
    keys: Keys,
    slow_removal: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// By its name, which keys a VM is to accept.
type Keys = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// The machine's clock, put forward by as many seconds as a test says.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Where a VM's SSH server is.
#[derive(Debug, Clone)]
pub(crate) struct WayIn {
    pub(crate) address: [u8; 4],
    pub(crate) port: u16,
    pub(crate) login: String,
    pub(crate) host_key: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cloud {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("pitwall.db")).await.unwrap();
        let (bus, link) = (Bus::in_process(), Link::in_process());
        let vm = FakeVm::serve(&link, HostId::from_random([1; 16]));
        let clock = Arc::new(Ahead::default());
        let config = ControlConfig {
            clock: clock.clone(),
            ..ControlConfig::new(store, bus.clone(), link)
        };
        let control = Control::open(config).await.unwrap();
        let token = control.admin_token_ensure().await.unwrap().unwrap();
        std::fs::write(folder.path().join("admin.token"), format!("{}\n", token.reveal())).unwrap();
        std::fs::write(folder.path().join("id_pitwall.pub"), KEY).unwrap();
        std::fs::write(folder.path().join("id_pitwall"), "the private half").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (finds, found) = mpsc::unbounded_channel();
        let running = control.clone();
        let way_in = Arc::new(Mutex::new(WayIn {
            address: [172, 30, 0, 3],
            port: 2222,
            login: "fred".to_owned(),
            host_key: HOST_KEY.to_owned(),
        }));
        let keys = Keys::default();
        let slow_removal = Arc::new(AtomicBool::new(false));
        let host = Host {
            slow_removal: slow_removal.clone(),
            ..Host::new(bus, control.installation(), way_in.clone(), keys.clone())
        };
        let tasks = vec![
            tokio::spawn(async move { running.run(std::future::pending()).await }),
            tokio::spawn(host.run(found)),
            tokio::spawn(server::serve(listener, control, std::future::pending())),
        ];
        let cloud = Self {
            folder,
            vm,
            address,
            clock,
            finds,
            way_in,
            keys,
            slow_removal,
            tasks,
        };
        while !cloud.pwctl(&["host", "ls"]).await.out.contains("box1") {}
        cloud
    }

    pub(crate) async fn pwctl(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().await.unwrap().into()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_pwctl"));
        command.args(arguments);
        command
    }

    /// Any program, with nothing around it but this cloud and a home in its folder.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PITWALL_URL", self.url());
        command
            .env("PITWALL_STATE", self.folder.path())
            .env("HOME", self.folder.path())
            .env("PATH", self.folder.path());
        command.current_dir(self.folder.path());
        command
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts the server's clock forward.
    pub(crate) fn later_by(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn way_in_is(&self, way_in: WayIn) {
        *self.way_in.lock().unwrap() = way_in;
    }

    /// Whether the host leaves what it is to remove as it is.
    pub(crate) fn host_is_slow_to_remove(&self, is_slow: bool) {
        self.slow_removal.store(is_slow, Ordering::Relaxed);
    }

    /// The keys that the host was told a VM of this name is to accept.
    pub(crate) fn keys_of(&self, name: &str) -> Vec<String> {
        self.keys.lock().unwrap()[name].clone()
    }

    /// Makes the host hold a VM that nobody here asked for.
    pub(crate) fn host_finds(&self, id: VmId, name: &str) {
        let body = VmBody {
            name: name.parse().unwrap(),
            image: "debian:12".parse().unwrap(),
            cpus: 1,
            memory: model::ByteSize::from_mib(256),
            disk: model::ByteSize::from_mib(1024),
            power: Power::On,
            boot: 1,
            rootfs: 1,
            authorized_keys: vec![KEY.parse().unwrap()],
            needs: [Feature::OCI_IMAGE].into(),
            options: model::VmOptions::default(),
            registry_secret: None,
            barred: [].into(),
            idle_after: None,
        };
        let way_in = self.way_in.lock().unwrap().clone();
        let seen = seen(1, 1, 1, Phase::Running, None, &way_in);
        self.finds
            .send(VmReport {
                id,
                seen,
                found: true,
                body: Some(body),
            })
            .unwrap();
    }

    /// Puts a program in the place of ssh.
    pub(crate) fn ssh_is(&self, script: &str) {
        let path = self.folder.path().join("ssh");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(Path::new(&path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

struct Host {
    bus: Bus,
    installation: InstallationId,
    id: HostId,
    number: u64,
    plan: u64,
    vms: BTreeMap<VmId, VmReport>,
    /// What was asked of each VM last; a plan leaves out what is held.
    bodies: BTreeMap<VmId, VmBody>,
    way_in: Arc<Mutex<WayIn>>,
    keys: Keys,
    slow_removal: Arc<AtomicBool>,
}

impl Host {
    fn new(bus: Bus, installation: InstallationId, way_in: Arc<Mutex<WayIn>>, keys: Keys) -> Self {
        Self {
            bus,
            installation,
            id: HostId::from_random([1; 16]),
            number: 0,
            plan: 0,
            vms: BTreeMap::new(),
            bodies: BTreeMap::new(),
            way_in,
            keys,
            slow_removal: Arc::new(AtomicBool::new(false)),
        }
    }

    async fn run(mut self, mut found: mpsc::UnboundedReceiver<VmReport>) {
        let mut plans = self.bus.plans(self.id);
        loop {
            self.report().await;
            tokio::select! {
                plan = plans.next() => self.obey(&HostPlan::decode(&plan.unwrap()).unwrap()),
                Some(vm) = found.recv() => drop(self.vms.insert(vm.id, vm)),
            }
        }
    }

    fn obey(&mut self, plan: &HostPlan) {
        self.plan = plan.number;
        self.vms.retain(|_, vm| vm.found);
        let way_in = self.way_in.lock().unwrap().clone();
        let is_slow = self.slow_removal.load(Ordering::Relaxed);
        for vm in &plan.vms {
            if let Some(body) = &vm.body {
                let keys = body.authorized_keys.iter().map(ToString::to_string);
                let mut told = self.keys.lock().unwrap();
                told.insert(body.name.to_string(), keys.collect());
                self.bodies.insert(vm.id, body.clone());
            }
            let left = VmPlan {
                remove: vm.remove && !is_slow,
                ..vm.clone()
            };
            self.vms.insert(vm.id, done(&left, &self.bodies[&vm.id], &way_in));
        }
    }

    async fn report(&mut self) {
        self.number += 1;
        let debian = HeldImage {
            digest: Digest::from_sha256([7; 32]),
            references: vec!["docker.io/library/debian:12".into()],
            size_bytes: 30 << 20,
        };
        let report = HostReport {
            installation: Some(self.installation),
            host: self.id,
            name: "box1".parse().unwrap(),
            version: "0.1.0".into(),
            start: 1,
            number: self.number,
            plan: self.plan,
            refusal: None,
            vms: self.vms.values().cloned().collect(),
            capacity: Some(Capacity {
                cpus: 8,
                memory_bytes: 8 << 30,
                disk_bytes: 80 << 30,
            }),
            images: Some(vec![debian]),
            features: Some(vec![
                Feature::OCI_IMAGE,
                Feature::OCI_LAYOUT,
                Feature::OPTIONS,
                Feature::IDLE,
                Feature::REGISTRY_SECRET,
            ]),
        };
        self.bus.publish_report(self.id, report.encode()).await.unwrap();
    }
}

/// A VM of a plan as it is once everything is done; an image's name can ask for a failure, or for no end.
fn done(vm: &VmPlan, body: &VmBody, way_in: &WayIn) -> VmReport {
    let image = body.image.to_string();
    let (phase, reason) = match (vm.remove, body.power) {
        (true, _) => (Phase::Gone, None),
        (false, Power::Off) => (Phase::Stopped, None),
        (false, Power::On) if image.contains("missing") => {
            let reason = Reason::lasting(
                ReasonCode::ImageNotFound,
                "there is no such image",
                "look at its name",
            );
            (Phase::Failed, Some(reason))
        }
        (false, Power::On) if image.contains("endless") => (Phase::BuildingFilesystem, None),
        (false, Power::On) => (Phase::Running, None),
    };
    let service = body.options.service.command.as_ref().map(|_| ServiceSeen {
        state: ServiceState::BackingOff,
        exit: Some(ProgramEnd::Exited(7)),
        restarts: 3,
        message: None,
    });
    VmReport {
        id: vm.id,
        seen: Seen {
            service,
            rootfs: body.rootfs,
            ..seen(vm.placement, vm.generation, body.boot, phase, reason, way_in)
        },
        found: false,
        body: None,
    }
}

fn seen(
    placement: u64,
    generation: u64,
    boot: u64,
    phase: Phase,
    reason: Option<Reason>,
    way_in: &WayIn,
) -> Seen {
    Seen {
        placement,
        accepted: generation,
        settled: generation,
        phase,
        boot,
        rootfs: 1,
        reason,
        stage: None,
        address: Some(way_in.address.into()),
        ssh_port: Some(way_in.port),
        login: Some(way_in.login.clone()),
        host_keys: vec![way_in.host_key.clone()],
        image_digest: None,
        service: None,
        powered_off: false,
        idle: model::Idle::Active,
    }
}
