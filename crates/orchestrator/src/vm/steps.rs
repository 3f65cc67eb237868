//! How each step is done, and how it is undone.

use std::time::Duration;

use driver::{Disk, Exit, Kernel, MachineSpec, Nic};
use image::{Image, PullEvent};
use model::{Digest, ImageRef, MacAddr, Phase, Power, Stage, VmId};
use ssh_key::private::{Ed25519Keypair, PrivateKey};
use tokio::sync::watch;
use wire::guest;

use super::{StepError, VmTask, Wish};
use crate::diff::{Actual, Step};
use crate::disk;
use crate::guest::{GuestLink, GuestState};
use crate::host::Host;
use crate::memory::{BootOutcome, VmRecord};
use crate::undo::Undo;

/// How long a VMM may take to end after it was told to, before it is killed.
const VMM_GRACE: Duration = Duration::from_secs(2);

/// How long a guest that was taken over may take to answer; it is up already, so this is a round trip.
const GUEST_ANSWER: Duration = Duration::from_secs(5);

/// What the guest has beyond its own grace before its VMM is ended: unmounting and powering off.
const POWER_OFF_MARGIN: Duration = Duration::from_secs(5);

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
                self.unwind(undo).await;
                return Err(error);
            }
        }
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
            Step::Image | Step::AwaitReady => Ok(()),
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

    /// Resolves and pulls the image, once per root file system; later boots take the digest from the cache. A VM
    /// whose damaged entry lost the digest has it resolved again.
    async fn image(&mut self) -> Result<(), StepError> {
        if !self.host.driver.capabilities().needs.root_filesystem {
            return Ok(());
        }
        if self.record.rootfs == self.record.body.rootfs && self.record.image.is_some() {
            return self.cached_image().await.map(drop);
        }
        let view = self.view.clone();
        let host = self.host.clone();
        let progress = move |event: PullEvent| {
            let Some(stage) = stage(event) else { return };
            view.send_modify(|view| view.stage = Some(stage));
            host.changed.notify_one();
        };
        let reference = self.record.body.image.clone();
        let image = self
            .host
            .images
            .pull(&reference, &progress)
            .await
            .map_err(StepError::Image)?;
        self.record.image = Some(image.digest);
        self.host.memory.vm_write(&self.record)?;
        self.show(|view, record| {
            view.stage = None;
            view.image = record.image;
        });
        Ok(())
    }

    /// The VM's image from the cache, pulled again by digest where the cache has lost it.
    async fn cached_image(&self) -> Result<Image, StepError> {
        let digest = self
            .record
            .image
            .ok_or_else(|| StepError::ImageLost(Digest::from_sha256([0; 32])))?;
        if let Some(image) = self.host.images.get(&digest)? {
            return Ok(image);
        }
        let reference = match &self.record.body.image {
            ImageRef::Registry(registry) => {
                let mut registry = registry.clone();
                registry.selector = model::Selector::Digest(digest);
                ImageRef::Registry(registry)
            }
            ImageRef::Layout(_) => self.record.body.image.clone(),
        };
        let image = self
            .host
            .images
            .pull(&reference, &|_| {})
            .await
            .map_err(StepError::Image)?;
        if image.digest == digest {
            Ok(image)
        } else {
            Err(StepError::ImageLost(digest))
        }
    }

    async fn make_disk(&mut self) -> Result<(), StepError> {
        if self.host.driver.capabilities().needs.root_filesystem {
            let templates = self.host.config.state.join("host").join("templates");
            let path = self.upper_disk();
            let size = self.record.body.disk;
            tokio::task::spawn_blocking(move || disk::make(&templates, &path, size)).await??;
        }
        self.record.rootfs = self.record.body.rootfs;
        self.host.memory.vm_write(&self.record)?;
        self.show(|view, record| view.rootfs = record.rootfs);
        Ok(())
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
        self.actual.running = true;
        self.actual.ready = None;
        self.connect_guest();
        Ok(())
    }

    async fn machine_spec(&self) -> Result<MachineSpec, StepError> {
        let needs = self.host.driver.capabilities().needs;
        let body = &self.record.body;
        let mut disks = Vec::new();
        if needs.root_filesystem {
            let image = self.cached_image().await?;
            let read_only = |(index, disk): (usize, &image::ImageDisk)| Disk {
                path: disk.path.clone(),
                serial: image_serial(index),
                read_only: true,
            };
            disks.extend(image.disks.iter().enumerate().map(read_only));
            disks.push(Disk {
                path: self.upper_disk(),
                serial: UPPER_SERIAL.to_owned(),
                read_only: false,
            });
        }
        let nic = match self.host.lease(self.id()).filter(|_| needs.tap) {
            Some(address) => {
                let mac = MacAddr::for_vm(address);
                Some(Nic {
                    tap: self.host.network.attach(address, mac).await?,
                    mac,
                })
            }
            None => None,
        };
        let kernel = match &self.host.config.kernel {
            Some(files) if needs.kernel => Some(Kernel {
                vmlinux: files.vmlinux.clone(),
                initramfs: files.initramfs.clone(),
                extra_args: Vec::new(),
            }),
            None if needs.kernel => return Err(StepError::NoKernel),
            Some(_) | None => None,
        };
        Ok(MachineSpec {
            id: self.id(),
            name: body.name.to_string(),
            cpus: body.cpus,
            memory: body.memory,
            disks,
            nic,
            kernel,
        })
    }

    /// Opens the control channel of the running guest.
    pub(super) fn connect_guest(&mut self) {
        match self.guest_config() {
            Ok(config) => self.guest = Some(GuestLink::open(self.host.driver.clone(), self.id(), config)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the guest cannot be told who it is"
                );
            }
        }
    }

    fn guest_config(&self) -> Result<guest::Config, StepError> {
        let host_key = self.host.memory.host_key(self.id())?.unwrap_or_default();
        let image = match self.record.image {
            Some(digest) => self.host.images.get(&digest)?,
            None => None,
        };
        let layers = image
            .as_ref()
            .map_or(0, |image| image.disks.len().saturating_sub(1));
        let defaults = image.map(|image| guest::ImageDefaults {
            user: image.config.user.unwrap_or_default(),
            env: image.config.env,
            working_dir: image.config.working_dir.unwrap_or_default(),
        });
        let network = self.host.lease(self.id()).map(|address| guest::Network {
            address,
            prefix: self.host.network.subnet().bits(),
            gateway: Some(self.host.network.gateway()),
            resolvers: self
                .host
                .network
                .resolvers()
                .iter()
                .map(|&resolver| resolver.into())
                .collect(),
            mac: Some(MacAddr::for_vm(address)),
        });
        Ok(guest::Config {
            revision: self.record.accepted,
            hostname: self.record.body.name.to_string(),
            network,
            ssh: guest::Ssh {
                port: guest::Ssh::DEFAULT_PORT,
                host_key: guest::HostKey::from_pem(host_key),
                authorized_keys: self
                    .record
                    .body
                    .authorized_keys
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
            image: defaults.unwrap_or_default(),
            disks: guest::Disks {
                root: guest::Disk::Serial(image_serial(0)),
                root_devices: (1..=layers)
                    .map(|index| guest::Disk::Serial(image_serial(index)))
                    .collect(),
                upper: guest::Disk::Serial(UPPER_SERIAL.to_owned()),
            },
        })
    }

    /// Waits until the guest accepts SSH, its VMM ends, it fails, or the deadline passes.
    async fn await_ready(&mut self) -> Result<(), StepError> {
        self.show(|view, record| {
            view.phase = Phase::Booting;
            view.boot = record.boot;
        });
        if self.guest.is_none() {
            self.connect_guest();
        }
        let Some(mut states) = self.guest.as_ref().map(GuestLink::watch) else {
            return Err(StepError::Guest {
                code: "no_channel".into(),
                message: "its control channel cannot be opened".into(),
            });
        };
        let deadline = tokio::time::sleep(self.host.config.boot_deadline);
        tokio::pin!(deadline);
        let driver = self.host.driver.clone();
        loop {
            let state = states.borrow_and_update().clone();
            if let Some((code, message)) = state.failed {
                return Err(StepError::Guest { code, message });
            }
            if let Some(ready) = &state.ready {
                self.actual.ready = Some(ready.config_revision);
                self.show_guest(&state);
                return Ok(());
            }
            if let Some(stage) = &state.stage {
                let stage = Stage {
                    what: format!("guest: {stage}"),
                    done: 0,
                    total: 0,
                };
                self.show(|view, _| view.stage = Some(stage));
            }
            tokio::select! {
                exit = driver.wait_ended(self.id()) => return Err(StepError::VmmDied(exit)),
                () = &mut deadline => return Err(self.too_late(state.stage).await),
                changed = states.changed() => if changed.is_err() {
                    return Err(StepError::VmmDied(Exit::default()));
                },
            }
        }
    }

    async fn too_late(&self, stage: Option<String>) -> StepError {
        StepError::BootTimeout {
            seconds: self.host.config.boot_deadline.as_secs(),
            stage,
            console: self.host.driver.console_tail(self.id()).await,
        }
    }

    async fn renew_config(&mut self) -> Result<(), StepError> {
        let config = self.guest_config()?;
        let revision = config.revision;
        let Some(guest) = &self.guest else { return Ok(()) };
        let mut states = guest.watch();
        guest.renew(config).await;
        let in_force = states.wait_for(|state| {
            state
                .ready
                .as_ref()
                .is_some_and(|ready| ready.config_revision >= revision)
        });
        // A guest that does not answer now gets it again when its channel comes back; the next diff asks again.
        if let Ok(Ok(_)) = tokio::time::timeout(VMM_GRACE, in_force).await {
            self.actual.ready = Some(revision);
        }
        Ok(())
    }

    /// Tells the guest to power off and waits for the end of its VMM, at most its grace and a margin.
    pub(super) async fn stop_guest(&mut self) {
        self.show(|view, record| {
            if record.body.power == Power::Off {
                view.phase = Phase::Stopping;
            }
        });
        let Some(guest) = &self.guest else { return };
        let mut states = guest.watch();
        let patience = if self.adopted {
            GUEST_ANSWER
        } else {
            Duration::ZERO
        };
        // A guest that is not up has no processes of its people's yet.
        if !is_ready_within(patience, &mut states).await {
            return;
        }
        let grace = self.host.config.stop_grace;
        guest.stop(grace).await;
        let ended = self.host.driver.wait_ended(self.id());
        if tokio::time::timeout(grace + POWER_OFF_MARGIN, ended)
            .await
            .is_err()
        {
            tracing::warn!("the guest does not power off; its VMM is ended");
        }
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
        self.show(|view, _| view.ssh_port = None);
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

    fn upper_disk(&self) -> std::path::PathBuf {
        self.host.memory.vm_folder(self.id()).join("upper.ext4")
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

async fn is_ready_within(patience: Duration, states: &mut watch::Receiver<GuestState>) -> bool {
    let ready = states.wait_for(|state| state.ready.is_some());
    tokio::time::timeout(patience, ready)
        .await
        .is_ok_and(|state| state.is_ok())
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

const UPPER_SERIAL: &str = "pw-upper";

fn image_serial(index: usize) -> String {
    if index == 0 {
        "pw-root".to_owned()
    } else {
        format!("pw-layer-{index}")
    }
}

fn stage(event: PullEvent) -> Option<Stage> {
    let stage = match event {
        PullEvent::Resolved { digest } => Stage {
            what: format!("image {digest}"),
            done: 0,
            total: 0,
        },
        PullEvent::Waiting => Stage {
            what: "image, pulled for another VM".to_owned(),
            done: 0,
            total: 0,
        },
        PullEvent::LayerProgress {
            index,
            count,
            done,
            total,
        } => Stage {
            what: format!("layer {} of {count}", index + 1),
            done,
            total,
        },
        PullEvent::Building => Stage {
            what: "root file system".to_owned(),
            done: 0,
            total: 0,
        },
        PullEvent::Ready { .. } => return None,
    };
    Some(stage)
}
