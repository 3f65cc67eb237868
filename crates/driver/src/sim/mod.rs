//! A driver in memory: the same port without a process, for tests of everything above it.
//!
//! ```text
//!   Sim ──► World   machines; lives on when a Sim is dropped, as processes do
//!    │
//!    └────► Script  hang at a step, fail at a step, hang or fail at the nth step, hang behind it
//! ```
//!
//! Its control channel and its console are pipes in memory. Whoever builds the simulator says who speaks at the guest's end
//! ([`Sim::with_guest`]), because this room knows no guest frames. A machine that ends breaks its channel.

mod console;
mod script;
mod world;

use std::sync::Arc;
use std::time::Duration;

use model::VmId;
use tokio::io::DuplexStream;

use script::Script;
pub use script::Step;
use world::World;

use crate::{
    Abilities, Accelerator, Capabilities, Consoles, ControlStream, DiskNames, Driver, DriverError, Exit,
    GuestWish, MachineSpec, Needs, Observation, Recovered, SpecFault, Verdict,
};

/// How much either end may write before the other has read: as much as a virtio port holds, roughly.
const CHANNEL_BYTES: usize = 64 * 1024;

/// As many as a real machine has.
const MAX_DISKS: usize = 21;

/// Who speaks at the guest's end of a control channel: called once per connection, from within a tokio runtime.
pub type Guest = Arc<dyn Fn(VmId, DuplexStream) + Send + Sync>;

/// The simulator. Clones share everything.
#[derive(Clone)]
pub struct Sim {
    world: Arc<World>,
    script: Arc<Script>,
    needs: Needs,
    guest: Option<Guest>,
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

impl Sim {
    /// An empty host whose machines need nothing and whose guests say nothing.
    pub fn new() -> Self {
        Self {
            world: Arc::default(),
            script: Arc::default(),
            needs: Needs::default(),
            guest: None,
        }
    }

    /// The same, needing what a real driver would need.
    #[must_use]
    pub fn with_needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// The same, with someone at the guests' end of their control channels.
    #[must_use]
    pub fn with_guest(mut self, guest: Guest) -> Self {
        self.guest = Some(guest);
        self
    }

    /// A fresh adapter over the same machines, as after a restart of Pitwall. Orders are forgotten.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self {
            script: Arc::default(),
            ..self.clone()
        }
    }

    /// Every call of this step waits until [`Sim::release`].
    pub fn hang_at(&self, step: Step) {
        self.script.hang_at(step);
    }

    /// Every call of this step fails until [`Sim::release`].
    pub fn fail_at(&self, step: Step) {
        self.script.fail_at(step);
    }

    /// One step fails, after so many that do not.
    pub fn fail_after(&self, steps: usize) {
        self.script.fail_in(steps);
    }

    /// After so many steps that go well, the next and all of its kind wait until [`Sim::release`].
    pub fn hang_after(&self, steps: usize) {
        self.script.hang_in(steps);
    }

    /// After so many steps that have changed something, the next and all of its kind wait behind their change until
    /// [`Sim::release`].
    pub fn hang_behind(&self, steps: usize) {
        self.script.hang_behind(steps);
    }

    /// Takes all orders back and wakes those who hang.
    pub fn release(&self) {
        self.script.release();
    }

    /// How many steps were asked for so far.
    pub fn steps_taken(&self) -> usize {
        self.script.steps_taken()
    }

    /// How many steps have changed something so far.
    pub fn steps_done(&self) -> usize {
        self.script.steps_done()
    }

    /// How often a machine was really started.
    pub fn starts(&self) -> u32 {
        self.world.starts()
    }

    /// Whether the machine runs.
    pub fn runs(&self, id: VmId) -> bool {
        matches!(self.world.observe(id), Observation::Running { .. })
    }

    /// The process that a running machine is said to be, another at each start.
    pub fn pid(&self, id: VmId) -> Option<u32> {
        match self.world.observe(id) {
            Observation::Running { pid } => pid,
            Observation::Absent | Observation::Ended(_) => None,
        }
    }

    /// The machine as it was last started.
    pub fn spec(&self, id: VmId) -> Option<MachineSpec> {
        self.world.spec(id)
    }

    /// All machines vanish without a trace, as after a reboot of the host.
    pub fn forget_everything(&self) {
        self.world.forget();
    }

    /// The VMM is killed from outside.
    pub fn die(&self, id: VmId, signal: i32) {
        self.world.end(
            id,
            Exit {
                signal: Some(signal),
                ..Exit::default()
            },
        );
    }

    /// The guest powers off.
    pub fn power_off(&self, id: VmId) {
        self.wish(id, GuestWish::Off);
    }

    /// The guest resets its machine without a word, as `reboot -f` does.
    pub fn reset(&self, id: VmId) {
        self.wish(id, GuestWish::Reset);
    }

    fn wish(&self, id: VmId, wish: GuestWish) {
        self.world.end(
            id,
            Exit {
                status: Some(0),
                wish: Some(wish),
                ..Exit::default()
            },
        );
    }

    /// The guest writes on its console.
    pub fn print(&self, id: VmId, text: &str) {
        self.world.print(id, text);
    }

    /// Traces of machines, for tests that expect none.
    pub fn leftovers(&self) -> Vec<String> {
        self.world
            .all()
            .iter()
            .map(|machine| format!("machine {}", machine.id))
            .collect()
    }
}

#[async_trait::async_trait]
impl Driver for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn capabilities(&self) -> Capabilities {
        let abilities = Abilities {
            control_channel: true,
            console_log: true,
            console: Consoles::OnRequest,
            max_disks: MAX_DISKS,
            disk_names: DiskNames::Serial,
        };
        Capabilities {
            needs: self.needs,
            abilities,
        }
    }

    async fn probe(&self) -> Result<Verdict, DriverError> {
        self.script.at(Step::Probe).await?;
        Ok(Verdict {
            accelerator: Accelerator::Software,
            why: "machines are simulated: nothing runs in them".to_owned(),
            vmm: "sim".to_owned(),
        })
    }

    async fn ensure(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.script.at(Step::Ensure).await?;
        if spec.disks.len() > MAX_DISKS {
            return Err(DriverError::Spec {
                id: spec.id,
                source: SpecFault::TooManyDisks {
                    disks: spec.disks.len(),
                    limit: MAX_DISKS,
                },
            });
        }
        self.world.start(spec);
        self.script.behind(Step::Ensure).await;
        Ok(())
    }

    async fn observe(&self, id: VmId) -> Result<Observation, DriverError> {
        self.script.at(Step::Observe).await?;
        Ok(self.world.observe(id))
    }

    async fn wait_ended(&self, id: VmId) -> Exit {
        let Some(mut ended) = self.world.end_of(id) else {
            return Exit::default();
        };
        let exit = ended.wait_for(Option::is_some).await;
        exit.ok().and_then(|exit| exit.clone()).unwrap_or_default()
    }

    async fn control(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        self.script.at(Step::Control).await?;
        let (host, mut host_relay) = tokio::io::duplex(CHANNEL_BYTES);
        let (mut guest_relay, guest) = tokio::io::duplex(CHANNEL_BYTES);
        let relay = tokio::spawn(async move {
            if let Err(error) = tokio::io::copy_bidirectional(&mut host_relay, &mut guest_relay).await {
                tracing::debug!(vm.id = %id, %error, "a simulated control channel broke");
            }
        });
        if !self.world.connect(id, relay.abort_handle()) {
            relay.abort();
            return Err(DriverError::NotRunning(id));
        }
        match &self.guest {
            Some(speak) => speak(id, guest),
            None => drop(tokio::spawn(silence(guest))),
        }
        Ok(Box::new(host))
    }

    async fn stop(&self, id: VmId, _grace: Duration) -> Result<(), DriverError> {
        self.script.at(Step::Stop).await?;
        self.world.end(
            id,
            Exit {
                status: Some(0),
                ..Exit::default()
            },
        );
        self.script.behind(Step::Stop).await;
        Ok(())
    }

    async fn destroy(&self, id: VmId) -> Result<(), DriverError> {
        self.script.at(Step::Destroy).await?;
        self.world.remove(id);
        self.script.behind(Step::Destroy).await;
        Ok(())
    }

    async fn recover(&self) -> Result<Vec<Recovered>, DriverError> {
        self.script.at(Step::Recover).await?;
        Ok(self.world.all())
    }

    async fn console(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError> {
        let printed = self.world.printed(id).ok_or(DriverError::NotRunning(id))?;
        if !self.world.spec(id).is_some_and(|spec| spec.console) {
            return Err(DriverError::NoConsole(id));
        }
        let (seat, machine) = tokio::io::duplex(CHANNEL_BYTES);
        let serving = tokio::spawn(console::serve(self.world.clone(), id, printed, machine));
        self.world.sit(id, serving.abort_handle());
        Ok(Box::new(seat))
    }

    async fn console_tail(&self, id: VmId) -> String {
        self.world.console(id)
    }

    async fn tend(&self) {}
}

/// A guest that reads and never answers.
async fn silence(mut guest: DuplexStream) {
    let _gone = tokio::io::copy(&mut guest, &mut tokio::io::sink()).await;
}
