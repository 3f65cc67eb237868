//! What runs the VMs of this host: Firecracker, or QEMU.
//!
//! ```text
//!   setting, programs, probe ─► preferred ─► do machines run under the other? ─► chosen
//! ```
//!
//! The driver is one for all VMs of a host. Machines that run under the other would be neither seen nor ended, and their
//! disks used twice; so a host stays with what it has until those have ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use driver::firecracker::{self, Firecracker};
use driver::qemu::{self, Qemu};
use driver::{Driver, DriverError, Observation, Verdict};

use crate::config::{Accelerator, Settings, Vmm};
use crate::roles::RoleError;

/// The driver of this host.
pub(crate) struct Chosen {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) verdict: Verdict,
    /// Why it is not Firecracker, a sentence, where that was to be found out.
    pub(crate) not_firecracker: Option<String>,
}

/// Chooses the driver.
///
/// # Errors
/// When machines cannot run here as the settings want it.
pub(crate) async fn choose(settings: &Settings) -> Result<Chosen, RoleError> {
    let (preferred, other) = preferred(settings).await?;
    let left = running(&*other).await?;
    if left == 0 {
        return Ok(preferred);
    }
    if settings.host.driver != Vmm::Auto {
        return Err(RoleError::OtherDriver {
            wanted: preferred.driver.name(),
            other: other.name(),
            count: left,
        });
    }
    let why = format!("{left} VMs run under {} already", other.name());
    tracing::warn!(
        driver = other.name(),
        "{why}; after `pitwall down` it is chosen anew"
    );
    let verdict = other.probe().await?;
    Ok(Chosen {
        not_firecracker: (other.name() == qemu(settings).name()).then_some(why),
        driver: other,
        verdict,
    })
}

/// What the settings and the probe say, whatever runs, and the other driver.
///
/// # Errors
/// When machines cannot run here as the settings want it.
pub(crate) async fn preferred(settings: &Settings) -> Result<(Chosen, Arc<dyn Driver>), RoleError> {
    let (firecracker, qemu): (Arc<dyn Driver>, Arc<dyn Driver>) = (firecracker(settings), qemu(settings));
    let refused = match settings.host.driver {
        Vmm::Qemu => None,
        Vmm::Firecracker | Vmm::Auto => match firecracker.probe().await {
            Ok(verdict) => {
                let chosen = Chosen {
                    driver: firecracker,
                    verdict,
                    not_firecracker: None,
                };
                return Ok((chosen, qemu));
            }
            Err(error) if settings.host.driver == Vmm::Firecracker => return Err(error.into()),
            Err(error) => Some(in_a_sentence(&error)),
        },
    };
    let chosen = Chosen {
        verdict: qemu.probe().await?,
        driver: qemu,
        not_firecracker: refused,
    };
    Ok((chosen, firecracker))
}

fn in_a_sentence(error: &DriverError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

async fn running(driver: &dyn Driver) -> Result<usize, RoleError> {
    let machines = driver.recover().await?;
    let running = machines
        .iter()
        .filter(|machine| matches!(machine.observation, Observation::Running { .. }));
    Ok(running.count())
}

fn qemu(settings: &Settings) -> Arc<Qemu> {
    let accelerator = match settings.host.accelerator {
        Accelerator::Auto => None,
        Accelerator::Kvm => Some(driver::Accelerator::Hardware),
        Accelerator::Tcg => Some(driver::Accelerator::Software),
    };
    Arc::new(Qemu::new(qemu::Config {
        accelerator,
        runtime_dir: settings.run.join("vms"),
        ..qemu::Config::default()
    }))
}

fn firecracker(settings: &Settings) -> Arc<Firecracker> {
    let own = &settings.firecracker;
    Arc::new(Firecracker::new(firecracker::Config {
        firecracker: located(&own.binary),
        jailer: located(&own.jailer),
        runtime_dir: settings.run.join("firecracker"),
        jails: jails(settings),
        control_port: orchestrator::GUEST_PORT,
        kernel_arguments: Some(own.kernel_arguments.clone()).filter(|words| !words.is_empty()),
        cpu_template: Some(own.cpu_template.clone()).filter(|path| !path.as_os_str().is_empty()),
        unprobed: settings.host.accelerator == Accelerator::Kvm,
    }))
}

/// Where jails are: on the file system of the disks, so that these can be linked.
pub(crate) fn jails(settings: &Settings) -> PathBuf {
    settings.state.join("jails")
}

fn located(program: &Path) -> PathBuf {
    find(program).unwrap_or_else(|| program.to_owned())
}

/// A program's file: a bare name is looked for where a shell would, and where root's programs are.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/bin", "/usr/sbin", "/sbin"].map(Into::into))
        .map(|place| place.join(program))
        .find(|file| file.is_file())
}
