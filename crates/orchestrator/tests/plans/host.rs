//! A host whose machines, network and guests are simulated, and a test in control's place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, Reports};
use driver::Needs;
use driver::sim::Sim;
use image::Images;
use link::Link;
use model::{ByteSize, Capacity, HostId, InstallationId, Power, Seen, VmBody, VmId, VmOptions};
use orchestrator::hands::SimHands;
use orchestrator::network::NetworkConfig;
use orchestrator::{BootLimits, Config, LogLimits, Orchestrator, Parts};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::host::{HostPlan, HostReport, VmPlan};

use crate::guest::Guests;

/// Longer than anything simulated takes on a busy machine; only a failing test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// One host. Its memory outlives its orchestrator.
pub(crate) struct Host {
    pub(crate) sim: Sim,
    pub(crate) guests: Guests,
    pub(crate) hands: Arc<SimHands>,
    pub(crate) boots: BootLimits,
    state: TempDir,
    bus: Bus,
    pub(crate) link: Link,
    reports: Reports,
    pub(crate) id: HostId,
    running: Option<AbortOnDropHandle<()>>,
    /// The plan said last.
    pub(crate) plan: HostPlan,
}

impl Host {
    /// One whose machines need this, started, with no plan yet.
    pub(crate) async fn start(needs: Needs, boots: BootLimits) -> Self {
        let guests = Guests::default();
        let sim = Sim::new().with_needs(needs);
        let sim = sim.clone().with_guest(guests.ends(sim));
        let bus = Bus::in_process();
        let id = HostId::from_random([0; 16]);
        let mut host = Self {
            sim,
            guests,
            hands: Arc::new(SimHands::new(Vec::new())),
            boots,
            state: tempfile::tempdir().unwrap(),
            reports: bus.reports(),
            bus,
            link: Link::in_process(),
            id,
            running: None,
            plan: HostPlan {
                installation: InstallationId::from_random([1; 16]),
                host: id,
                number: 0,
                vms: Vec::new(),
            },
        };
        host.begin().await;
        host.plan.host = host.id;
        host
    }

    /// Starts the orchestrator over what it remembers.
    pub(crate) async fn begin(&mut self) {
        let network = NetworkConfig {
            outbound: Some("out0".into()),
            ..NetworkConfig::default()
        };
        let config = Config {
            state: self.state.path().to_owned(),
            name: "here".parse().unwrap(),
            version: "test".to_owned(),
            kernel: None,
            network,
            capacity: Capacity::default(),
            boot_deadline: LIMIT,
            boots: self.boots,
            stop_grace: Duration::from_millis(200),
            report_every: Duration::from_millis(100),
            log: LogLimits::default(),
            retry_after: Duration::from_millis(20),
        };
        let agent = Orchestrator::start(Parts {
            config,
            driver: Arc::new(self.sim.clone()),
            images: Images::open(image::Config::new(self.state.path().join("images"))).unwrap(),
            hands: self.hands.clone(),
        });
        let agent = agent.await.unwrap();
        self.id = agent.id();
        let (bus, link) = (self.bus.clone(), self.link.clone());
        let task = tokio::spawn(agent.run(bus, link, CancellationToken::new()));
        self.running = Some(AbortOnDropHandle::new(task));
    }

    /// Ends the orchestrator wherever it is, as a kill would; the machines go on.
    pub(crate) async fn kill(&mut self) {
        let task = self.running.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Says what is asked, under the next number.
    pub(crate) async fn ask(&mut self, vms: Vec<VmPlan>) {
        self.plan.number += 1;
        self.plan.vms = vms;
        self.plan.vms.sort_by_key(|vm| vm.id);
        self.say(&self.plan).await;
    }

    /// Says a plan, whatever it is.
    pub(crate) async fn say(&self, plan: &HostPlan) {
        self.bus.publish_plan(self.id, plan.encode()).await.unwrap();
    }

    /// Waits for a report of which this holds.
    pub(crate) async fn report(&mut self, what: &str, holds: impl Fn(&HostReport) -> bool) -> HostReport {
        let mut last = None;
        let waited = timeout(LIMIT, async {
            loop {
                let delivery = self.reports.next().await.unwrap();
                let report = HostReport::decode(delivery.bytes()).unwrap();
                delivery.ack();
                if holds(&report) {
                    return report;
                }
                last = Some(report);
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "not in time: {what}; last heard: {last:#?}");
        waited.unwrap()
    }

    /// Waits until the host has finished with the newest plan, and gives what it saw of the VM.
    pub(crate) async fn settled(&mut self, vm: VmId) -> Seen {
        let (number, asked) = (self.plan.number, self.asked(vm).generation);
        let done = |report: &HostReport| {
            report.plan == number && seen(report, vm).is_some_and(|seen| seen.settled == asked)
        };
        let report = self.report("it is settled", done).await;
        seen(&report, vm).unwrap().clone()
    }

    /// What the plan said last asks of a VM.
    pub(crate) fn asked(&self, vm: VmId) -> VmPlan {
        let mut vms = self.plan.vms.iter();
        vms.find(|entry| entry.id == vm).unwrap().clone()
    }

    /// Changes what is asked of a VM and says it, in a plan that also says what it said of all others.
    pub(crate) async fn change(&mut self, vm: VmId, change: impl FnOnce(&mut VmBody)) {
        let mut vms = self.plan.vms.clone();
        let entry = vms.iter_mut().find(|entry| entry.id == vm).unwrap();
        entry.generation += 1;
        change(entry.body.as_mut().unwrap());
        self.ask(vms).await;
    }

    /// The folder with what the host remembers of a VM.
    pub(crate) fn folder(&self, vm: VmId) -> PathBuf {
        self.state.path().join("host/vms").join(vm.to_string())
    }
}

/// What a report says of a VM.
pub(crate) fn seen(report: &HostReport, vm: VmId) -> Option<&Seen> {
    let vm = report.vms.iter().find(|entry| entry.id == vm);
    vm.map(|vm| &vm.seen)
}

/// A small VM that is asked to run.
pub(crate) fn vm(number: u8, image: &str) -> VmPlan {
    let body = VmBody {
        name: format!("vm-{number}").parse().unwrap(),
        image: image.parse().unwrap(),
        cpus: 1,
        memory: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(64),
        power: Power::On,
        boot: 1,
        rootfs: 1,
        authorized_keys: Vec::new(),
        needs: [].into(),
        options: VmOptions::default(),
        registry_secret: None,
        barred: [].into(),
        idle_after: None,
    };
    VmPlan {
        id: VmId::from_random([number; 16]),
        placement: 1,
        generation: 1,
        remove: false,
        body: Some(body),
        request: None,
    }
}

/// Waits until something is true of the simulated host itself.
pub(crate) async fn until_true(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
