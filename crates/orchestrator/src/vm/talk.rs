//! A VM's task and its guest: who it is told to be, when it is up, how it is told to stop.

use std::time::Duration;

use driver::Exit;
use model::{MacAddr, Phase, Stage};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wire::guest;

use super::command::{self, ImageCommand};
use super::machine::{MODULES_SERIAL, UPPER_SERIAL, image_serial};
use super::{StepError, VmTask};
use crate::guest::{GuestLink, GuestState};
use crate::idle;

/// How long a guest that was taken over may take to answer; it is up already, so this is a round trip.
const GUEST_ANSWER: Duration = Duration::from_secs(5);

/// What the guest has beyond its own grace before its VMM is ended: unmounting and powering off.
const POWER_OFF_MARGIN: Duration = Duration::from_secs(5);

impl VmTask {
    /// Opens the control channel of the running guest.
    pub(super) fn connect_guest(&mut self) {
        // The one before lets go of the door first.
        self.guest = None;
        match self.guest_config() {
            Ok(config) => {
                let driver = self.host.driver.clone();
                let (log, door) = (self.log.clone(), self.door.clone());
                self.guest = Some(GuestLink::open(driver, self.id(), config, log, door));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the guest cannot be told who it is"
                );
            }
        }
    }

    pub(super) fn guest_config(&self) -> Result<guest::Config, StepError> {
        let host_key = self.host.memory.host_key(self.id())?.unwrap_or_default();
        let image = match self.record.image {
            Some(digest) => self.host.images.get(&digest)?,
            None => None,
        };
        let command = image.as_ref().map(|image| ImageCommand {
            entrypoint: &image.config.entrypoint,
            cmd: &image.config.cmd,
            stop_signal: image.config.stop_signal.as_deref(),
        });
        let options = &self.record.body.options;
        let service = command::service(command.unwrap_or_default(), &options.service);
        let layers = image
            .as_ref()
            .map_or(0, |image| image.disks.len().saturating_sub(1));
        let defaults = image.map(|image| guest::ImageDefaults {
            user: image.config.user.unwrap_or_default(),
            env: image.config.env,
            working_dir: image.config.working_dir.unwrap_or_default(),
            volumes: image.config.volumes,
        });
        Ok(guest::Config {
            revision: self.record.accepted,
            hostname: self.record.body.name.to_string(),
            network: self.guest_network(),
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
                user_cas: options.user_cas.iter().map(ToString::to_string).collect(),
                image_keys: options.image_keys,
                barred: self.record.body.barred.iter().cloned().collect(),
            },
            image: defaults.unwrap_or_default(),
            disks: self.guest_disks(layers),
            service,
            usage_every: self.record.body.idle_after.map(idle::rhythm),
        })
    }

    fn guest_network(&self) -> Option<guest::Network> {
        let (address, network) = (self.host.lease(self.id())?, &self.host.network);
        let resolvers = network.resolvers().iter();
        Some(guest::Network {
            address,
            prefix: network.subnet().bits(),
            gateway: Some(network.gateway()),
            resolvers: resolvers.map(|&resolver| resolver.into()).collect(),
            mac: Some(MacAddr::for_vm(address)),
        })
    }

    /// In the order in which the machine has them: the image, its further `layers`, the VM's own, the kernel's modules.
    fn guest_disks(&self, layers: usize) -> guest::Disks {
        let further = (1..=layers).map(|index| self.disk_name(index, image_serial(index)));
        let modules = self.modules_disk();
        guest::Disks {
            root: self.disk_name(0, image_serial(0)),
            root_devices: further.collect(),
            upper: self.disk_name(layers + 1, UPPER_SERIAL.to_owned()),
            modules: modules.map(|_| self.disk_name(layers + 2, MODULES_SERIAL.to_owned())),
        }
    }

    /// Waits until the guest accepts SSH, its VMM ends, it fails, or the deadline passes.
    pub(super) async fn await_ready(&mut self) -> Result<(), StepError> {
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
            let turn_over = self.turn.as_ref().map(|turn| turn.until);
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
                exit = driver.wait_ended(self.id()) => return Err(StepError::VmmEnded(self.end_of(exit).await)),
                () = at(turn_over) => {
                    tracing::info!("it boots for long and counts no more among those that do");
                    self.turn = None;
                }
                () = &mut deadline => return Err(self.too_late(state.stage).await),
                changed = states.changed() => if changed.is_err() {
                    return Err(StepError::VmmEnded(self.end_of(Exit::default()).await));
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

    pub(super) async fn renew_config(&mut self) -> Result<(), StepError> {
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
        if let Ok(Ok(_)) = tokio::time::timeout(GUEST_ANSWER, in_force).await {
            self.actual.ready = Some(revision);
        }
        Ok(())
    }

    /// Tells the guest to power off and waits for the end of its VMM, at most its grace and a margin.
    pub(super) async fn stop_guest(&mut self) {
        self.show(|view, _| view.phase = Phase::Stopping);
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
        match tokio::time::timeout(grace + POWER_OFF_MARGIN, ended).await {
            // Its service may have printed until the end.
            Ok(_) => drop(guest.last_word().await),
            Err(_) => tracing::warn!("the guest does not power off; its VMM is ended"),
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn is_ready_within(patience: Duration, states: &mut watch::Receiver<GuestState>) -> bool {
    let ready = states.wait_for(|state| state.ready.is_some());
    tokio::time::timeout(patience, ready)
        .await
        .is_ok_and(|state| state.is_ok())
}
