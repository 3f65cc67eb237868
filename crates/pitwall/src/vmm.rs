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
    settle(settings.host.driver, preferred, other).await
}

/// The preferred one, unless machines run under the other and none was asked for by name.
async fn settle(asked: Vmm, preferred: Chosen, other: Arc<dyn Driver>) -> Result<Chosen, RoleError> {
    let left = running(&*other).await?;
    if left == 0 {
        return Ok(preferred);
    }
    if asked != Vmm::Auto {
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
        not_firecracker: (preferred.driver.name() == "firecracker").then_some(why),
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
    let refused = match trial(settings.host.driver, settings.host.accelerator) {
        Trial::None(why) => why.map(str::to_owned),
        trial @ (Trial::Must | Trial::May) => match firecracker.probe().await {
            Ok(verdict) => {
                let chosen = Chosen {
                    driver: firecracker,
                    verdict,
                    not_firecracker: None,
                };
                return Ok((chosen, qemu));
            }
            Err(error) if trial == Trial::Must => return Err(error.into()),
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

/// Whether Firecracker is tried.
#[derive(Debug, PartialEq, Eq)]
enum Trial {
    /// It is not, and why, where nobody asked for QEMU by name.
    None(Option<&'static str>),
    /// It is, and if it cannot run, QEMU does.
    May,
    /// It is, and there is no other choice.
    Must,
}

/// Pure: what the settings say of Firecracker, which runs guests on the processor and not otherwise.
fn trial(driver: Vmm, accelerator: Accelerator) -> Trial {
    match (driver, accelerator) {
        (Vmm::Qemu, _) => Trial::None(None),
        (Vmm::Auto, Accelerator::Tcg) => Trial::None(Some(
            "host.accelerator asks for software emulation, which Firecracker has none of",
        )),
        (Vmm::Auto, Accelerator::Auto | Accelerator::Kvm) => Trial::May,
        (Vmm::Firecracker, _) => Trial::Must,
    }
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

#[cfg(test)]
mod tests {
    use driver::MachineSpec;
    use driver::sim::Sim;
    use model::{ByteSize, VmId};

    use super::*;

    #[test]
    fn firecracker_is_tried_where_guests_may_run_on_the_processor() {
        assert_eq!(trial(Vmm::Auto, Accelerator::Auto), Trial::May);
        assert_eq!(trial(Vmm::Auto, Accelerator::Kvm), Trial::May);
        assert!(matches!(trial(Vmm::Auto, Accelerator::Tcg), Trial::None(Some(_))));
        assert_eq!(trial(Vmm::Qemu, Accelerator::Auto), Trial::None(None));
        assert_eq!(trial(Vmm::Firecracker, Accelerator::Auto), Trial::Must);
    }

    async fn settled(asked: Vmm, other: &Sim) -> Result<(bool, Chosen), RoleError> {
        let preferred: Arc<dyn Driver> = Arc::new(Sim::new());
        let chosen = Chosen {
            driver: preferred.clone(),
            verdict: preferred.probe().await?,
            not_firecracker: None,
        };
        let chosen = settle(asked, chosen, Arc::new(other.clone())).await?;
        Ok((Arc::ptr_eq(&chosen.driver, &preferred), chosen))
    }

    #[tokio::test]
    async fn a_host_stays_with_the_driver_that_its_machines_run_under() {
        let other = Sim::new();
        assert!(settled(Vmm::Auto, &other).await.unwrap().0, "nothing runs there");

        let machine = MachineSpec {
            id: VmId::from_random([1; 16]),
            name: "one".to_owned(),
            cpus: 1,
            memory: ByteSize::from_mib(32),
            disks: Vec::new(),
            nic: None,
            kernel: None,
            console: false,
            owner: 0,
        };
        other.ensure(&machine).await.unwrap();
        assert!(!settled(Vmm::Auto, &other).await.unwrap().0, "one runs there");
        let Err(refused) = settled(Vmm::Firecracker, &other).await else {
            panic!("its machine would be lost sight of")
        };
        assert!(
            matches!(refused, RoleError::OtherDriver { count: 1, .. }),
            "{refused}"
        );

        other.destroy(machine.id).await.unwrap();
        assert!(settled(Vmm::Firecracker, &other).await.unwrap().0);
    }
}
