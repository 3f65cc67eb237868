//! The orchestrator itself: plans in, reports out, one task per VM, and the sweep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bus::Bus;
use driver::{Driver, DriverError, Observation, Recovered};
use image::{ImageSummary, Images};
use link::{Call, Link};
use model::{Digest, HeldImage, HostId, VmBody, VmId};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::host::{HostPlan, HostReport, Refusal};

use crate::accept::{Standing, Verdict, judge};
use crate::calls;
use crate::config::Config;
use crate::hands::Hands;
use crate::host::Host;
use crate::memory::{BootOutcome, FileError, Identity, Memory, Remembered, VmRecord};
use crate::network::{Network, NetworkError};
use crate::report;
use crate::vm::{Beginning, VmHandle, VmTask, Wish, erase};

/// At least this long between two reports: a pull's progress would else fill the bus.
const REPORT_PAUSE: Duration = Duration::from_millis(20);

/// How often the host network is looked after. A tool that rewrites the firewall is answered within twice this.
const TEND_EVERY: Duration = Duration::from_secs(4);

/// How often leftovers are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Why an orchestrator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's memory cannot be opened.
    #[error("failed to open the host's memory")]
    Memory(#[from] FileError),
    /// The driver cannot look for running VMs, so nothing may be changed.
    #[error("failed to look for running VMs")]
    Recover(#[from] DriverError),
    /// The host network cannot be made.
    #[error("failed to make the host network")]
    Network(#[from] NetworkError),
    /// No randomness for the host's id.
    #[error("failed to draw the host's id")]
    Entropy(#[from] getrandom::Error),
}

/// What an orchestrator is made of.
pub struct Parts {
    /// What it is told.
    pub config: Config,
    /// What runs its VMs.
    pub driver: Arc<dyn Driver>,
    /// Where its images come from.
    pub images: Images,
    /// What does for it what needs root.
    pub hands: Arc<dyn Hands>,
}

/// One host's agent.
pub struct Orchestrator {
    host: Arc<Host>,
    identity: Identity,
    plan: Option<HostPlan>,
    refusal: Option<Refusal>,
    vms: BTreeMap<VmId, VmHandle>,
    reports: u64,
}

impl Orchestrator {
    /// Opens the host's memory, finds its running VMs again, makes the host network, and starts a task per VM. What
    /// should run and does not is started, without any word of control.
    ///
    /// # Errors
    /// The memory, the driver's search or the network failed; nothing was changed then.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        Self::begin(parts, false).await
    }

    /// Ends every VM of the host in order, without changing what is asked of it, and removes the host network.
    /// The next [`Orchestrator::start`] begins the same boots again.
    ///
    /// # Errors
    /// As for [`Orchestrator::start`]; or the network cannot be removed.
    pub async fn take_down(parts: Parts) -> Result<(), StartError> {
        let (network, hands) = (parts.config.network.clone(), parts.hands.clone());
        let this = Self::begin(parts, true).await?;
        for (id, vm) in this.vms {
            if let Err(error) = vm.task.await {
                tracing::error!(vm.id = %id, %error, "the VM's task ended early");
            }
        }
        Ok(Network::teardown(network, hands).await?)
    }

    async fn begin(parts: Parts, suspend: bool) -> Result<Self, StartError> {
        let Parts {
            config,
            driver,
            images,
            hands,
        } = parts;
        let memory = Memory::open(&config.state)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let identity = memory.begin(now_ms(), random)?;
        let plan = memory.plan()?;
        let remembered = memory.vms()?;
        let recovered = driver.recover().await?;
        let network = Network::setup(config.network.clone(), hands).await?;
        let host = Arc::new(Host::new(config, memory, driver, images, network)?);
        let mut this = Self {
            host,
            identity,
            plan,
            refusal: None,
            vms: BTreeMap::new(),
            reports: 0,
        };
        this.adopt(remembered, recovered, suspend);
        if !suspend {
            this.distribute().await;
        }
        Ok(this)
    }

    /// This host's id.
    pub fn id(&self) -> HostId {
        self.identity.host
    }

    /// Obeys plans, reports and answers calls until `shutdown`; the VMs go on running then.
    pub async fn run(mut self, bus: Bus, link: Link, shutdown: CancellationToken) {
        let mut plans = bus.plans(self.id());
        let mut calls = link.serve(self.id());
        self.host.secrets.connect(self.id(), link.clone());
        let mut answers = JoinSet::new();
        let mut report = ticks(self.host.config.report_every);
        let mut tend = ticks(TEND_EVERY);
        let mut sweep = ticks(SWEEP_EVERY);
        let mut next_report = Instant::now();
        let host = self.host.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                plan = plans.next() => {
                    let Ok(plan) = plan else { break };
                    self.plan_came(&plan).await;
                    self.report(&bus).await;
                }
                Some(call) = calls.next() => self.answer(call, &mut answers),
                () = host.changed.notified() => {
                    tokio::time::sleep_until(next_report).await;
                    self.report(&bus).await;
                    next_report = Instant::now() + REPORT_PAUSE;
                }
                _ = report.tick() => self.report(&bus).await,
                _ = tend.tick() => {
                    host.network.tend().await;
                    host.driver.tend().await;
                }
                _ = sweep.tick() => self.sweep().await,
            }
        }
        answers.shutdown().await;
        self.end_tasks().await;
    }

    /// Has a call answered by a task of its own, which ends with the service.
    fn answer(&self, call: Call, answers: &mut JoinSet<()>) {
        while answers.try_join_next().is_some() {}
        let (Call::Stream { vm, .. } | Call::Log { vm, .. }) = &call;
        let reach = self.vms.get(vm).map(|vm| vm.reach.clone());
        answers.spawn(calls::answer(call, reach, self.host.driver.clone()));
    }

    /// Ends every VM's task wherever it is, as a kill would; the next start goes on from what is written down.
    async fn end_tasks(self) {
        for vm in self.vms.values() {
            vm.task.abort();
        }
        for vm in self.vms.into_values() {
            // The error says that it was ended, as it should.
            let _ = vm.task.await;
        }
    }

    fn adopt(&mut self, remembered: Vec<Remembered>, recovered: Vec<Recovered>, suspend: bool) {
        let mut states: BTreeMap<_, _> = recovered.into_iter().map(|vm| (vm.id, vm.observation)).collect();
        for vm in remembered {
            let record = match vm {
                Remembered::Whole(record) => *record,
                Remembered::Damaged(id, error) => match self.mend(id, error, states.contains_key(&id)) {
                    Some(record) => record,
                    None => continue,
                },
            };
            let beginning = match states.remove(&record.id) {
                Some(Observation::Running { .. }) => Beginning::Running,
                Some(Observation::Ended(exit)) => Beginning::Ended(exit),
                Some(Observation::Absent) | None => Beginning::Absent,
            };
            tracing::info!(vm.id = %record.id, vm.name = %record.body.name, ?beginning, "found again");
            self.vms.insert(
                record.id,
                VmTask::start(self.host.clone(), record, beginning, suspend),
            );
        }
        for id in states.into_keys() {
            tracing::warn!(vm.id = %id, "a VMM runs of which this host has no memory; it is left alone");
        }
    }

    /// The record of a VM whose folder is damaged, from what the last plan says of it.
    fn mend(&self, id: VmId, error: FileError, running: bool) -> Option<VmRecord> {
        tracing::error!(vm.id = %id, error = &error as &dyn std::error::Error, "the VM's folder is damaged");
        let vm = self.plan.as_ref()?.vms.iter().find(|vm| vm.id == id)?;
        let body = vm.body.clone()?;
        let outcome = if running {
            BootOutcome::Begun
        } else {
            BootOutcome::Failed(model::Reason::lasting(
                model::ReasonCode::StateDamaged,
                format!("its folder on the host is damaged: {error}"),
                format!(
                    "start it (pwctl start {0}) or remove it (pwctl rm {0})",
                    body.name
                ),
            ))
        };
        let disk = self.host.memory.vm_folder(id).join("upper.ext4").exists();
        Some(VmRecord {
            // What runs has all it needs; what has lost its disk waits for a start, and nothing is made anew before.
            rootfs: if disk || running { body.rootfs } else { 0 },
            rootfs_failed: body.rootfs,
            image: self.image_under(&body),
            boot: body.boot,
            outcome,
            remove: vm.remove,
            request: vm.request.clone(),
            ..VmRecord::new(id, vm.placement, vm.generation, body)
        })
    }

    /// What the image of a VM was resolved to, where the cache still knows.
    fn image_under(&self, body: &VmBody) -> Option<Digest> {
        let reference = body.image.to_string();
        let held = self.host.images.list().ok()?;
        let image = held
            .into_iter()
            .find(|image| image.references.contains(&reference))?;
        Some(image.digest)
    }

    async fn plan_came(&mut self, bytes: &[u8]) {
        let plan = match HostPlan::decode(bytes) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a plan cannot be read; the last one stands"
                );
                return;
            }
        };
        let held = self
            .vms
            .iter()
            .map(|(&id, vm)| (id, vm.view.borrow().accepted))
            .collect();
        let standing = Standing {
            host: self.identity.host,
            installation: self.identity.installation,
            plan: self.plan.as_ref(),
            held: &held,
        };
        match judge(&plan, standing) {
            Err(refusal) => {
                tracing::warn!(
                    plan = refusal.plan,
                    code = refusal.code.as_str(),
                    "{}",
                    refusal.message
                );
                self.refusal = Some(refusal);
            }
            Ok(Verdict::AsHeld) => self.refusal = None,
            Ok(Verdict::Accept) => match self.accept(plan) {
                Ok(()) => self.distribute().await,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a plan cannot be written down; it waits"
                    );
                }
            },
        }
    }

    fn accept(&mut self, plan: HostPlan) -> Result<(), FileError> {
        if self.identity.installation.is_none() {
            let identity = Identity {
                installation: Some(plan.installation),
                ..self.identity.clone()
            };
            self.host.memory.identity_write(&identity)?;
            self.identity = identity;
        }
        self.host.memory.plan_write(&plan)?;
        tracing::debug!(plan = plan.number, vms = plan.vms.len(), "obeying");
        self.plan = Some(plan);
        self.refusal = None;
        Ok(())
    }

    /// Tells each VM's task what the plan says of it, and starts tasks for the new ones.
    async fn distribute(&mut self) {
        self.drop_ended();
        let Some(plan) = &self.plan else { return };
        for vm in &plan.vms {
            let gone = self
                .host
                .removed(vm.id)
                .is_some_and(|removed| removed >= vm.placement);
            match (self.vms.get(&vm.id), &vm.body) {
                (Some(handle), body) => handle.wish(Wish {
                    placement: vm.placement,
                    generation: vm.generation,
                    remove: vm.remove,
                    body: body.clone(),
                    request: vm.request.clone(),
                    suspend: false,
                }),
                (None, _) if gone => {}
                (None, _) if vm.remove => {
                    if let Err(error) = erase(&self.host, vm.id, vm.placement).await {
                        tracing::warn!(vm.id = %vm.id, error = &error as &dyn std::error::Error, "not removed yet");
                    }
                }
                (None, Some(body)) => {
                    let record = VmRecord {
                        request: vm.request.clone(),
                        ..VmRecord::new(vm.id, vm.placement, vm.generation, body.clone())
                    };
                    let handle = VmTask::start(self.host.clone(), record, Beginning::New, false);
                    self.vms.insert(vm.id, handle);
                }
                (None, None) => {}
            }
        }
    }

    fn drop_ended(&mut self) {
        self.vms
            .retain(|_, vm| vm.view.borrow().phase != model::Phase::Gone);
    }

    async fn report(&mut self, bus: &Bus) {
        self.drop_ended();
        self.reports += 1;
        let views = self
            .vms
            .iter()
            .map(|(&id, vm)| (id, vm.view.borrow().clone()))
            .collect();
        let images = self.host.images.clone();
        let held = tokio::task::spawn_blocking(move || images.list()).await;
        let images = match held {
            Ok(Ok(images)) => Some(images.into_iter().map(held_image).collect()),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the cached images cannot be listed"
                );
                None
            }
            Err(_) => None,
        };
        let report = HostReport {
            installation: self.identity.installation,
            host: self.identity.host,
            name: self.host.config.name.clone(),
            version: self.host.config.version.clone(),
            start: self.identity.start,
            number: self.reports,
            plan: self.plan.as_ref().map_or(0, |plan| plan.number),
            refusal: self.refusal.clone(),
            vms: report::vms(&views, self.plan.as_ref(), |id| self.host.removed(id)),
            capacity: Some(self.host.config.capacity),
            images,
            features: Some(crate::FEATURES.to_vec()),
        };
        if let Err(error) = bus.publish_report(self.identity.host, report.encode()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a report is lost; the next one says the same"
            );
        }
    }

    /// Looks for what no VM of this host owns any more. Removals that failed before are tried again.
    async fn sweep(&mut self) {
        self.distribute().await;
        let leases = self.host.leases();
        for address in self.host.network.attached().await {
            if !leases.values().any(|&leased| leased == address) {
                tracing::warn!(%address, "a TAP that no VM owns is removed");
                if let Err(error) = self.host.network.detach(address).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "it cannot be removed");
                }
            }
        }
        let images = self.host.images.clone();
        let swept = tokio::task::spawn_blocking(move || images.sweep()).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the image cache cannot be swept"
            );
        }
    }
}

fn held_image(image: ImageSummary) -> HeldImage {
    HeldImage {
        digest: image.digest,
        references: image.references,
        size_bytes: image.size.bytes(),
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
