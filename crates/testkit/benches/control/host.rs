//! A host that finishes every VM: it speaks with control as a real one does and holds nothing.
//!
//! ```text
//!   plan ─► every new VM boots ─► report ─► 20 ms later they run ─► report
//! ```
//!
//! 20 ms is the pause that a real orchestrator keeps between two reports.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::Bus;
use model::{Capacity, Feature, HostId, Idle, InstallationId, Phase, Power, Seen, VmId};
use testkit::Fault;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep_until};
use wire::host::{HostPlan, HostReport, VmPlan, VmReport};

use crate::world::{HOSTS, KEY};

const REPORT_PAUSE: Duration = Duration::from_millis(20);
/// As `report_every` of a host is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The phase that a VM is in from now on; the report that says so is sent at once.
pub(crate) type Order = (VmId, Phase);

pub(crate) struct Host {
    pub(crate) id: HostId,
    number: u8,
    bus: Bus,
    installation: Option<InstallationId>,
    plan: u64,
    reports: u64,
    vms: BTreeMap<VmId, Seen>,
    finish_at: Option<Instant>,
}

impl Host {
    pub(crate) fn new(number: u8, bus: Bus) -> Self {
        let mut bytes = [0; 16];
        bytes[0] = number + 1;
        Self {
            id: HostId::from_random(bytes),
            number,
            bus,
            installation: None,
            plan: 0,
            reports: 0,
            vms: BTreeMap::new(),
            finish_at: None,
        }
    }

    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<(), Fault> {
        let mut plans = self.bus.plans(self.id);
        self.report().await?;
        // Real hosts were not all started at the same moment either.
        let first = REPORT_EVERY * (u32::from(self.number) + 1) / u32::from(HOSTS);
        let mut ticks = interval_at(Instant::now() + first, REPORT_EVERY);
        loop {
            let finish_at = self.finish_at;
            tokio::select! {
                plan = plans.next() => {
                    let Ok(bytes) = plan else { return Ok(()) };
                    self.obey(HostPlan::decode(&bytes)?);
                }
                Some((vm, phase)) = orders.recv() => {
                    if let Some(seen) = self.vms.get_mut(&vm) {
                        seen.phase = phase;
                    }
                }
                () = sleep_until(finish_at.unwrap_or_else(Instant::now)), if finish_at.is_some() => self.finish(),
                _ = ticks.tick() => {}
            }
            self.report().await?;
        }
    }

    fn obey(&mut self, plan: HostPlan) {
        self.installation = Some(plan.installation);
        self.plan = plan.number;
        let mut before = std::mem::take(&mut self.vms);
        self.vms = plan
            .vms
            .into_iter()
            .filter_map(|vm| {
                let seen = before.remove(&vm.id);
                let held = seen.as_ref().map_or(0, |seen| seen.accepted);
                let seen = if vm.remove || held < vm.generation {
                    obeyed(&vm)?
                } else {
                    seen?
                };
                Some((vm.id, seen))
            })
            .collect();
        if self.finish_at.is_none() && self.vms.values().any(|seen| seen.phase == Phase::Booting) {
            self.finish_at = Some(Instant::now() + REPORT_PAUSE);
        }
    }

    fn finish(&mut self) {
        self.finish_at = None;
        for seen in self.vms.values_mut().filter(|seen| seen.phase == Phase::Booting) {
            seen.phase = Phase::Running;
            seen.settled = seen.accepted;
            seen.ssh_port = Some(2222);
            seen.login = Some("root".to_owned());
            seen.host_keys = vec![KEY.to_owned()];
        }
    }

    async fn report(&mut self) -> Result<(), Fault> {
        self.reports += 1;
        let vms = self.vms.iter().map(|(&id, seen)| VmReport {
            id,
            seen: seen.clone(),
            found: false,
            body: None,
        });
        let report = HostReport {
            installation: self.installation,
            host: self.id,
            name: format!("host-{}", self.number).parse()?,
            version: "bench".to_owned(),
            start: 1,
            number: self.reports,
            plan: self.plan,
            refusal: None,
            vms: vms.collect(),
            // More than any figure asks for, and less than an overflow in a sum.
            capacity: Some(Capacity {
                cpus: 1 << 24,
                memory_bytes: 1 << 50,
                disk_bytes: 1 << 54,
            }),
            images: Some(Vec::new()),
            features: Some(vec![Feature::OCI_IMAGE]),
        };
        self.bus.publish_report(self.id, report.encode()).await?;
        Ok(())
    }
}

/// What is seen of a VM once its plan came; nothing of one whose body was left out and that is not held.
fn obeyed(vm: &VmPlan) -> Option<Seen> {
    let (phase, settled) = if vm.remove {
        (Phase::Gone, vm.generation)
    } else {
        match vm.body.as_ref()?.power {
            Power::On => (Phase::Booting, 0),
            Power::Off => (Phase::Stopped, vm.generation),
        }
    };
    Some(Seen {
        placement: vm.placement,
        accepted: vm.generation,
        settled,
        phase,
        boot: vm.body.as_ref().map_or(0, |body| body.boot),
        rootfs: vm.body.as_ref().map_or(0, |body| body.rootfs),
        reason: None,
        stage: None,
        address: Some([172, 30, 0, 3].into()),
        ssh_port: None,
        login: None,
        host_keys: Vec::new(),
        image_digest: None,
        service: None,
        powered_off: false,
        idle: Idle::Active,
    })
}
