//! What a VM's task lets others see.

use std::net::Ipv4Addr;

use model::{Digest, Idle, Phase, Reason, Seen, ServiceSeen, Stage, VmBody};

use crate::host::Host;
use crate::memory::{BootOutcome, VmRecord};

/// The login name that always works: the key decides who gets in, and a name that the image does not know becomes
/// the VM's default user.
pub(crate) const LOGIN: &str = "fred";

/// What a VM's task lets others see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VmView {
    pub(crate) placement: u64,
    pub(crate) accepted: u64,
    pub(crate) settled: u64,
    pub(crate) phase: Phase,
    pub(crate) boot: u64,
    pub(crate) rootfs: u64,
    pub(crate) reason: Option<Reason>,
    pub(crate) stage: Option<Stage>,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) ssh_port: Option<u16>,
    pub(crate) host_keys: Vec<String>,
    pub(crate) image: Option<Digest>,
    pub(crate) service: Option<ServiceSeen>,
    /// The guest powered itself off at `boot`.
    pub(crate) powered_off: bool,
    pub(crate) idle: Idle,
    pub(crate) body: VmBody,
}

impl VmView {
    /// What the memory alone tells.
    pub(crate) fn of_record(host: &Host, record: &VmRecord) -> Self {
        let (phase, reason) = match &record.outcome {
            _ if record.remove => (Phase::Removing, None),
            BootOutcome::Off if record.boot == 0 => (Phase::Accepted, None),
            BootOutcome::Off | BootOutcome::PoweredOff => (Phase::Stopped, None),
            BootOutcome::Begun => (Phase::Booting, None),
            BootOutcome::Failed(reason) => (Phase::Failed, Some(reason.clone())),
        };
        Self {
            placement: record.placement,
            accepted: record.accepted,
            settled: 0,
            phase,
            boot: record.boot,
            rootfs: record.rootfs,
            reason,
            stage: None,
            address: host.lease(record.id),
            ssh_port: None,
            host_keys: Vec::new(),
            image: record.image,
            service: None,
            powered_off: record.outcome == BootOutcome::PoweredOff,
            idle: Idle::Active,
            body: record.body.clone(),
        }
    }

    /// What a report says of it.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            placement: self.placement,
            accepted: self.accepted,
            settled: self.settled,
            phase: self.phase,
            boot: self.boot,
            rootfs: self.rootfs,
            reason: self.reason.clone(),
            stage: self.stage.clone(),
            address: self.address,
            ssh_port: self.ssh_port,
            login: self.ssh_port.map(|_| LOGIN.to_owned()),
            host_keys: self.host_keys.clone(),
            image_digest: self.image,
            service: self.service.clone(),
            powered_off: self.powered_off,
            idle: self.idle,
        }
    }
}
