//! Between the typed messages and their bytes.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use model::{
    ByteSize, Capacity, Feature, HeldImage, Idle, Phase, Power, Reason, ReasonCode, Retry, SecretRef, Seen,
    Stage, VmBody, VmOptions,
};
use prost::Message;

mod options;
#[cfg(test)]
mod tests;

use super::{HostPlan, HostReport, Refusal, RefusalCode, VmPlan, VmReport};
use crate::WireError;
use crate::proto::host as raw;

impl HostPlan {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        raw::HostPlan {
            installation: self.installation.to_string(),
            host: self.host.to_string(),
            number: self.number,
            vms: self.vms.iter().map(raw_vm_plan).collect(),
        }
        .encode_to_vec()
    }

    /// The plan of some bytes.
    ///
    /// # Errors
    /// The bytes are no plan, or a field holds what it cannot hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let plan = raw::HostPlan::decode(bytes)?;
        Ok(Self {
            installation: text("installation", &plan.installation)?,
            host: text("host", &plan.host)?,
            number: plan.number,
            vms: plan.vms.into_iter().map(vm_plan).collect::<Result<_, _>>()?,
        })
    }
}

fn raw_vm_plan(vm: &VmPlan) -> raw::VmPlan {
    raw::VmPlan {
        id: vm.id.to_string(),
        placement: vm.placement,
        generation: vm.generation,
        remove: vm.remove,
        body: vm.body.as_ref().map(raw_body),
        request: vm.request.as_ref().map(ToString::to_string),
    }
}

fn vm_plan(vm: raw::VmPlan) -> Result<VmPlan, WireError> {
    Ok(VmPlan {
        id: text("vms.id", &vm.id)?,
        placement: vm.placement,
        generation: vm.generation,
        remove: vm.remove,
        body: vm.body.map(body).transpose()?,
        request: vm
            .request
            .map(|request| text("vms.request", &request))
            .transpose()?,
    })
}

fn raw_body(body: &VmBody) -> raw::VmBody {
    let power = match body.power {
        Power::On => raw::Power::On,
        Power::Off => raw::Power::Off,
    };
    raw::VmBody {
        name: body.name.to_string(),
        image: body.image.to_string(),
        cpus: body.cpus,
        memory_bytes: body.memory.bytes(),
        disk_bytes: body.disk.bytes(),
        power: power.into(),
        boot: body.boot,
        rootfs: body.rootfs,
        authorized_keys: body.authorized_keys.iter().map(ToString::to_string).collect(),
        needs: body.needs.iter().map(ToString::to_string).collect(),
        options: (body.options != VmOptions::default()).then(|| options::raw(&body.options)),
        barred: body.barred.iter().cloned().collect(),
        idle_after_s: body.idle_after,
        registry_secret: body.registry_secret.map(|secret| raw::SecretRef {
            id: secret.id.to_string(),
            version: secret.version,
        }),
    }
}

fn body(body: raw::VmBody) -> Result<VmBody, WireError> {
    let power = match raw::Power::try_from(body.power) {
        Ok(raw::Power::On) => Power::On,
        Ok(raw::Power::Off) => Power::Off,
        Ok(raw::Power::Unspecified) | Err(_) => return Err(field("body.power", &body.power)),
    };
    let keys = body
        .authorized_keys
        .iter()
        .map(|key| text("body.authorized_keys", key));
    Ok(VmBody {
        name: text("body.name", &body.name)?,
        image: text("body.image", &body.image)?,
        cpus: body.cpus,
        memory: ByteSize::from_bytes(body.memory_bytes),
        disk: ByteSize::from_bytes(body.disk_bytes),
        power,
        boot: body.boot,
        rootfs: body.rootfs,
        authorized_keys: keys.collect::<Result<_, _>>()?,
        needs: body
            .needs
            .into_iter()
            .map(Feature::named)
            .collect::<BTreeSet<_>>(),
        options: body.options.map(options::read).transpose()?.unwrap_or_default(),
        barred: body.barred.into_iter().collect(),
        idle_after: body.idle_after_s,
        registry_secret: body.registry_secret.as_ref().map(secret).transpose()?,
    })
}

fn secret(secret: &raw::SecretRef) -> Result<SecretRef, WireError> {
    Ok(SecretRef {
        id: text("body.registry_secret.id", &secret.id)?,
        version: secret.version,
    })
}

impl HostReport {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        raw::HostReport {
            installation: self.installation.map(|id| id.to_string()),
            host: self.host.to_string(),
            start: self.start,
            number: self.number,
            plan: self.plan,
            refusal: self.refusal.as_ref().map(|refusal| raw::Refusal {
                plan: refusal.plan,
                code: refusal.code.as_str().to_owned(),
                message: refusal.message.clone(),
            }),
            vms: self.vms.iter().map(raw_vm_report).collect(),
            capacity: self.capacity.map(|capacity| raw::Capacity {
                cpus: capacity.cpus,
                memory_bytes: capacity.memory_bytes,
                disk_bytes: capacity.disk_bytes,
            }),
            catalogue: self.images.as_ref().map(|images| raw::Catalogue {
                images: images.iter().map(raw_image).collect(),
            }),
            features: self.features.as_ref().map(|features| raw::Features {
                names: features.iter().map(ToString::to_string).collect(),
            }),
            name: self.name.to_string(),
            version: self.version.clone(),
        }
        .encode_to_vec()
    }

    /// The report of some bytes.
    ///
    /// # Errors
    /// The bytes are no report, or a field holds what it cannot hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let report = raw::HostReport::decode(bytes)?;
        Ok(Self {
            installation: report
                .installation
                .map(|id| text("installation", &id))
                .transpose()?,
            host: text("host", &report.host)?,
            name: text("name", &report.name)?,
            version: report.version,
            start: report.start,
            number: report.number,
            plan: report.plan,
            refusal: report.refusal.map(|refusal| Refusal {
                plan: refusal.plan,
                code: RefusalCode::parse(&refusal.code),
                message: refusal.message,
            }),
            vms: report.vms.into_iter().map(vm_report).collect::<Result<_, _>>()?,
            capacity: report.capacity.map(|capacity| Capacity {
                cpus: capacity.cpus,
                memory_bytes: capacity.memory_bytes,
                disk_bytes: capacity.disk_bytes,
            }),
            images: report
                .catalogue
                .map(|catalogue| catalogue.images.into_iter().map(image).collect::<Result<_, _>>())
                .transpose()?,
            features: report
                .features
                .map(|features| features.names.into_iter().map(Feature::named).collect()),
        })
    }
}

fn raw_image(image: &HeldImage) -> raw::HeldImage {
    raw::HeldImage {
        digest: image.digest.to_string(),
        references: image.references.clone(),
        size_bytes: image.size_bytes,
    }
}

fn image(image: raw::HeldImage) -> Result<HeldImage, WireError> {
    Ok(HeldImage {
        digest: text("catalogue.images.digest", &image.digest)?,
        references: image.references,
        size_bytes: image.size_bytes,
    })
}

fn raw_vm_report(vm: &VmReport) -> raw::VmReport {
    let seen = &vm.seen;
    raw::VmReport {
        id: vm.id.to_string(),
        placement: seen.placement,
        accepted: seen.accepted,
        settled: seen.settled,
        phase: raw_phase(seen.phase).into(),
        boot: seen.boot,
        rootfs: seen.rootfs,
        reason: seen.reason.as_ref().map(|reason| raw::Reason {
            code: reason.code.as_str().to_owned(),
            message: reason.message.clone(),
            hint: reason.hint.clone(),
            retried: reason.retry == Retry::Later,
        }),
        stage: seen.stage.as_ref().map(|stage| raw::Stage {
            what: stage.what.clone(),
            done: stage.done,
            total: stage.total,
        }),
        address: seen.address.map(|address| address.to_string()),
        ssh_port: seen.ssh_port.map(u32::from),
        login: seen.login.clone(),
        host_keys: seen.host_keys.clone(),
        image_digest: seen.image_digest.map(|digest| digest.to_string()),
        found: vm.found,
        body: vm.body.as_ref().map(raw_body),
        service: seen.service.as_ref().map(options::raw_service),
        powered_off: seen.powered_off,
        idle: raw_idle(seen.idle).into(),
    }
}

fn vm_report(vm: raw::VmReport) -> Result<VmReport, WireError> {
    let ssh_port = vm
        .ssh_port
        .map(|port| u16::try_from(port).map_err(|_| field("vms.ssh_port", &port)));
    let seen = Seen {
        placement: vm.placement,
        accepted: vm.accepted,
        settled: vm.settled,
        phase: phase(vm.phase)?,
        boot: vm.boot,
        rootfs: vm.rootfs,
        reason: vm.reason.map(|reason| Reason {
            code: ReasonCode::parse(&reason.code),
            message: reason.message,
            hint: reason.hint,
            retry: if reason.retried {
                Retry::Later
            } else {
                Retry::OnNewWish
            },
        }),
        stage: vm.stage.map(|stage| Stage {
            what: stage.what,
            done: stage.done,
            total: stage.total,
        }),
        address: vm
            .address
            .map(|address| text("vms.address", &address))
            .transpose()?,
        ssh_port: ssh_port.transpose()?,
        login: vm.login,
        host_keys: vm.host_keys,
        image_digest: vm
            .image_digest
            .map(|digest| text("vms.image_digest", &digest))
            .transpose()?,
        service: vm.service.map(options::read_service).transpose()?,
        powered_off: vm.powered_off,
        idle: idle(vm.idle),
    };
    let body = vm.body.map(body).transpose()?;
    Ok(VmReport {
        id: text("vms.id", &vm.id)?,
        seen,
        found: vm.found,
        body,
    })
}

const fn raw_phase(phase: Phase) -> raw::Phase {
    match phase {
        Phase::Accepted => raw::Phase::Accepted,
        Phase::BuildingFilesystem => raw::Phase::BuildingFilesystem,
        Phase::Booting => raw::Phase::Booting,
        Phase::Running => raw::Phase::Running,
        Phase::Stopping => raw::Phase::Stopping,
        Phase::Stopped => raw::Phase::Stopped,
        Phase::Failed => raw::Phase::Failed,
        Phase::Removing => raw::Phase::Removing,
        Phase::Gone => raw::Phase::Gone,
    }
}

fn phase(number: i32) -> Result<Phase, WireError> {
    match raw::Phase::try_from(number) {
        Ok(raw::Phase::Accepted) => Ok(Phase::Accepted),
        Ok(raw::Phase::BuildingFilesystem) => Ok(Phase::BuildingFilesystem),
        Ok(raw::Phase::Booting) => Ok(Phase::Booting),
        Ok(raw::Phase::Running) => Ok(Phase::Running),
        Ok(raw::Phase::Stopping) => Ok(Phase::Stopping),
        Ok(raw::Phase::Stopped) => Ok(Phase::Stopped),
        Ok(raw::Phase::Failed) => Ok(Phase::Failed),
        Ok(raw::Phase::Removing) => Ok(Phase::Removing),
        Ok(raw::Phase::Gone) => Ok(Phase::Gone),
        Ok(raw::Phase::Unspecified) | Err(_) => Err(field("vms.phase", &number)),
    }
}

fn raw_idle(idle: Idle) -> raw::Idle {
    match idle {
        Idle::Active => raw::Idle::Active,
        Idle::Soon => raw::Idle::Soon,
        Idle::Idle => raw::Idle::Now,
    }
}

fn idle(number: i32) -> Idle {
    match raw::Idle::try_from(number) {
        Ok(raw::Idle::Soon) => Idle::Soon,
        Ok(raw::Idle::Now) => Idle::Idle,
        Ok(raw::Idle::Active) | Err(_) => Idle::Active,
    }
}

fn text<T: FromStr>(name: &'static str, value: &str) -> Result<T, WireError> {
    if value.is_empty() {
        return Err(WireError::Missing(name));
    }
    value.parse().map_err(|_| field(name, &value))
}

fn field(field: &'static str, value: &impl Display) -> WireError {
    WireError::Field {
        field,
        value: value.to_string(),
    }
}
