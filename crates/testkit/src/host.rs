//! One simulated host.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use driver::Needs;
use driver::sim::Sim;
use image::Images;
use link::Link;
use model::{Capacity, HostId, Subnet};
use orchestrator::hands::SimHands;
use orchestrator::network::NetworkConfig;
use orchestrator::{BootLimits, Config, LogLimits, Orchestrator, Parts};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Fault, SimGuests};

/// What a host's machines need, and how much room there is for them.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// What is made for each machine before it starts.
    pub needs: Needs,
    /// What the host gives away.
    pub capacity: Capacity,
}

impl Default for Size {
    /// Machines that need a TAP and nothing else, so no image is ever looked for, and room for some dozens of them.
    fn default() -> Self {
        let needs = Needs {
            tap: true,
            ..Needs::default()
        };
        let capacity = Capacity {
            cpus: 64,
            memory_bytes: 64 << 30,
            disk_bytes: 1 << 40,
        };
        Self { needs, capacity }
    }
}

/// One host: a real orchestrator over simulated machines. Its memory outlives [`SimHost::end`].
pub struct SimHost {
    /// Its machines; orders to hang and fail go here.
    pub sim: Sim,
    /// What runs in its machines.
    pub guests: SimGuests,
    /// Its network, which can fail too.
    pub hands: Arc<SimHands>,
    name: String,
    state: TempDir,
    bus: Bus,
    link: Link,
    capacity: Capacity,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    id: Option<HostId>,
}

impl SimHost {
    /// A host that remembers nothing yet, started.
    pub(crate) async fn start(name: &str, size: Size, bus: Bus, link: Link) -> Result<Self, Fault> {
        let Size { needs, capacity } = size;
        let (machines, guests) = (Sim::new().with_needs(needs), SimGuests::default());
        let sim = machines.clone().with_guest(guests.speak(machines));
        let mut host = Self {
            sim,
            guests,
            hands: Arc::new(SimHands::new(Vec::new())),
            name: name.to_owned(),
            state: tempfile::tempdir()?,
            bus,
            link,
            capacity,
            running: None,
            id: None,
        };
        host.begin().await?;
        Ok(host)
    }

    /// Starts the orchestrator over what it remembers.
    ///
    /// # Errors
    /// It cannot start.
    pub async fn begin(&mut self) -> Result<(), Fault> {
        let network = NetworkConfig {
            outbound: Some("out0".into()),
            ..NetworkConfig::default()
        };
        let config = Config {
            state: self.state.path().to_owned(),
            name: self.name.parse()?,
            version: "test".to_owned(),
            kernel: None,
            network: NetworkConfig {
                subnet: Subnet::DEFAULT,
                ..network
            },
            capacity: self.capacity,
            boot_deadline: Duration::from_secs(20),
            boots: BootLimits {
                at_once: 64,
                patience: Duration::from_secs(20),
            },
            stop_grace: Duration::from_millis(200),
            report_every: Duration::from_millis(200),
            log: LogLimits::default(),
            retry_after: Duration::from_millis(20),
        };
        let images = Images::open(image::Config::new(self.state.path().join("images")))?;
        let driver = Arc::new(self.sim.clone());
        let parts = Parts {
            config,
            driver,
            images,
            hands: self.hands.clone(),
        };
        let agent = Orchestrator::start(parts).await?;
        self.id = Some(agent.id());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(agent.run(self.bus.clone(), self.link.clone(), shutdown.clone()));
        self.running = Some((shutdown, task));
        Ok(())
    }

    /// Ends the orchestrator; the machines go on.
    pub async fn end(&mut self) {
        if let Some((shutdown, task)) = self.running.take() {
            shutdown.cancel();
            // A task that panicked has failed its test already.
            let _ = task.await;
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, from its first start on.
    pub fn id(&self) -> Option<HostId> {
        self.id
    }

    /// Where it remembers.
    pub fn state(&self) -> &std::path::Path {
        self.state.path()
    }
}
