//! How each step is done, and how it is undone.

use std::time::Duration;

use model::{Idle, MacAddr, Phase, Stage, VmId};
use ssh_key::private::{Ed25519Keypair, PrivateKey};
use tokio::sync::watch;

use super::{StepError, VmTask, Wish};
use crate::diff::{Actual, Step};
use crate::host::Host;
use crate::memory::{BootOutcome, VmRecord};
use crate::undo::Undo;

/// How long a VMM may take to end after it was told to, before it is killed.
const VMM_GRACE: Duration = Duration::from_secs(2);

impl VmTask {
    /// Does the steps in order. When one fails, what the earlier ones made is unmade.
    pub(super) async fn carry_out(&mut self, steps: &[Step]) -> Result<(), StepError> {
        let mut undo = Undo::default();
        for &step in steps {
            tracing::debug!(?step, "doing");
            let superseded = superseded(self.wishes.clone(), self.record.clone());
            let done = match step {
                Step::Image => tokio::select! {
                    biased;
                    () = superseded => Err(StepError::Superseded),
                    done = self.image() => done,
                },
                Step::AwaitTurn => tokio::select! {
                    biased;
                    () = superseded => Err(StepError::Superseded),
                    () = self.await_turn() => Ok(()),
                },
                Step::AwaitReady => tokio::select! {
                    biased;
                    () = superseded => Err(StepError::Superseded),
                    done = self.await_ready() => done,
                },
                Step::LeaseAddress
                | Step::HostKey
                | Step::MakeDisk
                | Step::AttachNetwork
                | Step::StartVmm
                | Step::RenewConfig
                | Step::StopGuest
                | Step::EndVmm
                | Step::DetachNetwork
                | Step::RecordOff
                | Step::Forget => self.quick(step, &mut undo).await,
            };
            if let Err(error) = done {
                self.turn = None;
                self.unwind(undo).await;
                return Err(error);
            }
        }
        self.turn = None;
        undo.keep();
        Ok(())
    }

    async fn unwind(&mut self, undo: Undo) {
        let before = self.actual;
        undo.unwind().await;
        if let Ok(driver::Observation::Absent) = self.host.driver.observe(self.id()).await {
            self.actual = Actual {
                attached: before.attached && before.running,
                ..Actual::default()
            };
            self.guest = None;
        }
    }

    async fn quick(&mut self, step: Step, undo: &mut Undo) -> Result<(), StepError> {
        match step {
            Step::LeaseAddress => self.lease_address(),
            Step::HostKey => self.host_key(),
            Step::MakeDisk => self.make_disk().await,
            Step::AttachNetwork => self.attach_network(undo).await,
            Step::StartVmm => self.start_vmm(undo).await,
            Step::RenewConfig => self.renew_config().await,
            Step::StopGuest => {
                self.stop_guest().await;
                Ok(())
            }
            Step::EndVmm => self.end_vmm().await,
            Step::DetachNetwork => self.detach_network().await,
            Step::RecordOff => {
                self.record.outcome = BootOutcome::Off;
                Ok(self.host.memory.vm_write(&self.record)?)
            }
            Step::Forget => self.forget().await,
            Step::Image | Step::AwaitTurn | Step::AwaitReady => Ok(()),
        }
    }

    fn lease_address(&self) -> Result<(), StepError> {
        let missing = self
            .record
            .body
            .needs
            .iter()
            .find(|need| !crate::FEATURES.contains(need));
        if let Some(feature) = missing {
            return Err(StepError::FeatureMissing(feature.clone()));
        }
        let address = self.host.lease_take(self.id())?.ok_or(StepError::NoAddress)?;
        self.show(|view, _| {
            view.phase = Phase::BuildingFilesystem;
            view.reason = None;
            view.address = Some(address);
        });
        Ok(())
    }

    fn host_key(&self) -> Result<(), StepError> {
        if self.host.memory.host_key(self.id())?.is_some() {
            return Ok(());
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StepError::HostKey(error.into()))?;
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let pem = key
            .to_openssh(ssh_key::LineEnding::LF)
            .map_err(|error| StepError::HostKey(error.into()))?;
        Ok(self.host.memory.host_key_write(self.id(), &pem)?)
    }

    /// Waits until not too many others boot.
    async fn await_turn(&mut self) {
        let host = self.host.clone();
        self.turn = match host.boots.at_once() {
            Some(turn) => Some(turn),
            None => {
                let stage = Stage {
                    what: "waiting for its turn to boot".to_owned(),
                    done: 0,
                    total: 0,
                };
                self.show(|view, _| view.stage = Some(stage));
                Some(host.boots.next().await)
            }
        };
        self.show(|view, _| view.stage = None);
    }

    async fn attach_network(&mut self, undo: &mut Undo) -> Result<(), StepError> {
        if let Some(address) = self
            .host
            .lease(self.id())
            .filter(|_| self.host.driver.capabilities().needs.tap)
        {
            self.host
                .network
                .attach(address, MacAddr::for_vm(address))
                .await?;
            if !self.actual.running {
                let host = self.host.clone();
                undo.push("attach to the network", async move {
                    if let Err(error) = host.network.detach(address).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the TAP stays for the sweep"
                        );
                    }
                });
            }
        }
        self.actual.attached = true;
        Ok(())
    }

    /// Writes the boot counter down, then acts on it.
    async fn start_vmm(&mut self, undo: &mut Undo) -> Result<(), StepError> {
        let spec = self.machine_spec().await?;
        self.record.boot = self.record.body.boot;
        self.record.outcome = BootOutcome::Begun;
        self.host.memory.vm_write(&self.record)?;
        self.show(|view, record| {
            view.phase = Phase::Booting;
            view.reason = None;
            view.stage = None;
            view.boot = record.boot;
            view.powered_off = false;
        });
        let (driver, id) = (self.host.driver.clone(), self.id());
        undo.push("start the VMM", async move {
            if let Err(error) = driver.destroy(id).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the VMM stays for the sweep"
                );
            }
        });
        self.host.driver.ensure(&spec).await?;
        self.adopted = false;
        self.meter = None;
        self.actual.running = true;
        self.actual.ready = None;
        self.connect_guest();
        Ok(())
    }

    async fn end_vmm(&mut self) -> Result<(), StepError> {
        if self.record.remove {
            self.show(|view, _| view.phase = Phase::Removing);
        }
        self.guest = None;
        self.host.driver.stop(self.id(), VMM_GRACE).await?;
        self.host.driver.destroy(self.id()).await?;
        self.actual = Actual {
            attached: self.actual.attached,
            ..Actual::default()
        };
        self.meter = None;
        self.show(|view, _| {
            view.ssh_port = None;
            view.service = None;
            view.idle = Idle::Active;
        });
        Ok(())
    }

    async fn detach_network(&mut self) -> Result<(), StepError> {
        if let Some(address) = self.host.lease(self.id()) {
            self.host.network.detach(address).await?;
        }
        self.actual.attached = false;
        Ok(())
    }

    /// Removes every run-time trace of the VM: VMM, TAP, rules.
    pub(super) async fn unmake_runtime(&mut self) -> Result<(), StepError> {
        self.end_vmm().await?;
        self.detach_network().await
    }

    async fn forget(&mut self) -> Result<(), StepError> {
        erase(&self.host, self.id(), self.record.placement).await?;
        self.show(|view, record| {
            view.phase = Phase::Gone;
            view.reason = None;
            view.settled = record.accepted;
            view.address = None;
        });
        Ok(())
    }
}

/// Removes every trace of a VM and then writes down that its placement is never made again: until then the
/// accepted plan says `remove`, and on a full disk it is the removal that makes room for the note. Needs neither
/// the VM nor its folder nor its image to be healthy.
pub(crate) async fn erase(host: &Host, id: VmId, placement: u64) -> Result<(), StepError> {
    host.driver.destroy(id).await?;
    if let Some(address) = host.lease(id) {
        host.network.detach(address).await?;
    }
    host.memory.vm_remove(id)?;
    host.lease_release(id)?;
    Ok(host.removed_add(id, placement)?)
}

/// Resolves when a wish comes that makes slow work for `record` pointless.
async fn superseded(mut wishes: watch::Receiver<Wish>, record: VmRecord) {
    let pointless = |wish: &Wish| {
        let body = wish.body.as_ref().filter(|_| wish.generation > record.accepted);
        let other = (wish.remove && !record.remove)
            || body.is_some_and(|body| {
                body.power != record.body.power
                    || body.boot > record.body.boot
                    || body.rootfs > record.body.rootfs
            });
        wish.suspend || (other && !wish.is_older_than(&record))
    };
    if wishes.wait_for(pointless).await.is_err() {
        std::future::pending().await
    }
}
