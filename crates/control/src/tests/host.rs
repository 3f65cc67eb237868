//! A host that keeps the rules of plans and reports, and makes VMs by writing them down.

use std::collections::BTreeMap;

use model::{Capacity, Feature, HostId, InstallationId, Phase, Power, Seen, VmBody, VmId};
use wire::host::{HostPlan, HostReport, Refusal, RefusalCode, VmPlan, VmReport};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) placement: u64,
    pub(super) accepted: u64,
    pub(super) body: VmBody,
    pub(super) phase: Phase,
    pub(super) boot: u64,
    /// How often it was booted.
    pub(super) boots: u64,
    pub(super) rootfs: u64,
    /// How often its disk was made.
    pub(super) disks: u64,
    /// Its guest powered itself off at `boot`.
    pub(super) powered_off: bool,
    /// What it judges of the guest.
    pub(super) idle: model::Idle,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeHost {
    pub(super) id: HostId,
    pub(super) start: u64,
    pub(super) number: u64,
    pub(super) installation: Option<InstallationId>,
    pub(super) plan: Option<HostPlan>,
    pub(super) refusal: Option<Refusal>,
    pub(super) held: BTreeMap<VmId, Held>,
    /// Placements that were removed and are never made again.
    pub(super) removed: BTreeMap<VmId, u64>,
    pub(super) capacity: Option<Capacity>,
}

impl FakeHost {
    pub(super) fn new(byte: u8) -> Self {
        Self {
            id: HostId::from_random([byte; 16]),
            start: 1,
            number: 0,
            installation: None,
            plan: None,
            refusal: None,
            held: BTreeMap::new(),
            removed: BTreeMap::new(),
            capacity: Some(Capacity {
                cpus: 8,
                memory_bytes: 8 << 30,
                disk_bytes: 64 << 30,
            }),
        }
    }

    /// Accepts or refuses a plan.
    pub(super) fn take(&mut self, plan: HostPlan) {
        let number = self.accepted_plan();
        let code = if plan.host != self.id {
            Some(RefusalCode::OtherHost)
        } else if self.installation.is_some_and(|id| id != plan.installation) {
            Some(RefusalCode::OtherInstallation)
        } else if plan.number < number {
            Some(RefusalCode::OlderPlan)
        } else if self
            .plan
            .as_ref()
            .is_some_and(|last| last.number == plan.number && last.contradicts(&plan))
        {
            Some(RefusalCode::SameNumberOtherContent)
        } else if plan.number > number && plan.vms.iter().any(|vm| self.lacks(vm)) {
            Some(RefusalCode::Incomplete)
        } else {
            None
        };
        self.refusal = code.map(|code| Refusal {
            plan: plan.number,
            code,
            message: code.as_str().to_owned(),
        });
        if self.refusal.is_none() {
            self.accept(plan);
        }
    }

    /// Whether a plan leaves out what is asked of a VM, and it is not held here.
    fn lacks(&self, vm: &VmPlan) -> bool {
        let held = self.held.get(&vm.id);
        let holds = held.is_some_and(|held| held.accepted >= vm.generation);
        let removed = self.removed.get(&vm.id);
        let was_removed = removed.is_some_and(|removed| *removed >= vm.placement);
        vm.body.is_none() && !vm.remove && !holds && !was_removed
    }

    fn accept(&mut self, plan: HostPlan) {
        self.installation = Some(plan.installation);
        for entry in &plan.vms {
            let was_removed = self
                .removed
                .get(&entry.id)
                .is_some_and(|removed| *removed >= entry.placement);
            if entry.remove {
                self.held.remove(&entry.id);
                self.removed.insert(entry.id, entry.placement);
            } else if let (Some(body), false) = (entry.body.clone(), was_removed) {
                let held = self.held.entry(entry.id).or_insert_with(|| Held {
                    placement: entry.placement,
                    accepted: 0,
                    body: body.clone(),
                    phase: Phase::Accepted,
                    boot: 0,
                    boots: 0,
                    rootfs: 0,
                    disks: 0,
                    powered_off: false,
                    idle: model::Idle::Active,
                });
                if entry.generation > held.accepted {
                    held.accepted = entry.generation;
                    held.body = body;
                }
            }
        }
        self.plan = Some(plan);
    }

    /// The guest of a VM powers itself off.
    pub(super) fn power_off(&mut self, vm: VmId) {
        let held = self.held.get_mut(&vm).unwrap();
        held.phase = Phase::Stopped;
        held.powered_off = true;
    }

    /// Makes everything as it is asked.
    pub(super) fn work(&mut self) {
        for held in self.held.values_mut() {
            if held.rootfs < held.body.rootfs {
                held.rootfs = held.body.rootfs;
                held.disks += 1;
            }
            match held.body.power {
                Power::Off => held.phase = Phase::Stopped,
                Power::On if held.boot < held.body.boot => {
                    held.boot = held.body.boot;
                    held.boots += 1;
                    held.phase = Phase::Running;
                    held.powered_off = false;
                }
                Power::On => {}
            }
        }
    }

    /// The next report.
    pub(super) fn report(&mut self) -> HostReport {
        self.number += 1;
        HostReport {
            installation: self.installation,
            host: self.id,
            name: "box".parse().unwrap(),
            version: "0.1.0".into(),
            start: self.start,
            number: self.number,
            plan: self.accepted_plan(),
            refusal: self.refusal.clone(),
            vms: self.vm_reports(),
            capacity: self.capacity,
            images: Some(vec![]),
            features: Some(vec![
                Feature::OCI_IMAGE,
                Feature::OCI_LAYOUT,
                Feature::IDLE,
                Feature::REGISTRY_SECRET,
            ]),
        }
    }

    fn accepted_plan(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.number)
    }

    fn vm_reports(&self) -> Vec<VmReport> {
        let named = |id: &VmId| {
            self.plan
                .iter()
                .flat_map(|plan| &plan.vms)
                .find(|entry| entry.id == *id)
        };
        let held = self.held.iter().map(|(id, held)| VmReport {
            id: *id,
            seen: seen(held),
            found: named(id).is_none(),
            body: named(id).is_none().then(|| held.body.clone()),
        });
        let gone = self.plan.iter().flat_map(|plan| &plan.vms);
        let gone = gone
            .filter(|entry| !self.held.contains_key(&entry.id))
            .map(|entry| VmReport {
                id: entry.id,
                seen: Seen {
                    phase: Phase::Gone,
                    address: None,
                    ssh_port: None,
                    login: None,
                    host_keys: vec![],
                    placement: entry.placement,
                    accepted: entry.generation,
                    settled: entry.generation,
                    ..blank()
                },
                found: false,
                body: None,
            });
        held.chain(gone).collect()
    }
}

fn seen(held: &Held) -> Seen {
    Seen {
        placement: held.placement,
        accepted: held.accepted,
        settled: held.accepted,
        phase: held.phase,
        boot: held.boot,
        rootfs: held.rootfs,
        powered_off: held.powered_off,
        idle: held.idle,
        ..blank()
    }
}

fn blank() -> Seen {
    Seen {
        placement: 0,
        accepted: 0,
        settled: 0,
        phase: Phase::Accepted,
        boot: 0,
        rootfs: 1,
        reason: None,
        stage: None,
        address: Some([172, 30, 0, 3].into()),
        ssh_port: Some(2222),
        login: Some("fred".into()),
        host_keys: vec!["ssh-ed25519 AAAAC3Nz".into()],
        image_digest: None,
        service: None,
        powered_off: false,
        idle: model::Idle::Active,
    }
}
