//! The verbs of a driver, and the words it answers with.

use std::fmt;
use std::time::Duration;

use model::VmId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{DriverError, MachineSpec};

/// Something that runs machines.
#[async_trait::async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The adapter's name: `firecracker`, `qemu`, `sim`.
    fn name(&self) -> &'static str;

    /// What has to be made for a machine, and what the driver can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether machines can run here, and how fast. Takes well under a second; the first answer is kept.
    ///
    /// # Errors
    /// When no machine could be started at all, for instance because a program is missing.
    async fn probe(&self) -> Result<Verdict, DriverError>;

    /// Starts the machine unless one with this id runs. Returns once the VMM answers, which is long before the
    /// guest is up.
    ///
    /// # Errors
    /// When the machine does not run; whatever was begun has then been undone.
    async fn ensure(&self, spec: &MachineSpec) -> Result<(), DriverError>;

    /// How the machine is now.
    ///
    /// # Errors
    /// When that cannot be told.
    async fn observe(&self, id: VmId) -> Result<Observation, DriverError>;

    /// Returns as soon as the machine has ended: at once for one that has, or that there is not. A machine that was
    /// found again after a restart is no exception.
    async fn wait_ended(&self, id: VmId) -> Exit;

    /// The host's end of the channel to the guest's init. There is one at a time: a second caller is heard when
    /// the first has let go, or takes it from the first. While the guest does not listen, what is written is kept for
    /// it, or the call itself waits, as long as the machine runs; it may be given up at any time.
    ///
    /// # Errors
    /// When the machine does not run or does not answer.
    async fn control(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError>;

    /// Ends the machine without asking the guest: at first politely, after `grace` with force. Returns when it has
    /// ended. What can be read of it afterwards (exit, console) stays.
    ///
    /// # Errors
    /// When it is still there.
    async fn stop(&self, id: VmId, grace: Duration) -> Result<(), DriverError>;

    /// Ends the machine with force and removes every trace of it at run time. Works whatever state these are in.
    ///
    /// # Errors
    /// When something is still there.
    async fn destroy(&self, id: VmId) -> Result<(), DriverError>;

    /// All machines of this driver on this host, running or ended but not destroyed. Said once, at start.
    ///
    /// # Errors
    /// When the host cannot be searched.
    async fn recover(&self) -> Result<Vec<Recovered>, DriverError>;

    /// The guest's console, for people to watch and to type on: what was printed last, then what is printed from now
    /// on. There is one at a time: a second caller takes it from the first.
    ///
    /// # Errors
    /// When the machine does not run, or has no such console: see [`Abilities::console`].
    async fn console(&self, id: VmId) -> Result<Box<dyn ControlStream>, DriverError>;

    /// The last lines that the guest wrote to its console; empty where there are none.
    async fn console_tail(&self, id: VmId) -> String;

    /// Housekeeping, to be called every few seconds: bounds what machines write on the host.
    async fn tend(&self);
}

/// The host's end of a control channel.
pub trait ControlStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ControlStream for T {}

/// What a driver needs and what it is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What has to be made before `ensure`.
    pub needs: Needs,
    /// What it can do.
    pub abilities: Abilities,
}

/// What has to be made for a machine before it can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Disks with the image's root filesystem and a writable upper.
    pub root_filesystem: bool,
    /// A TAP on the host's bridge.
    pub tap: bool,
    /// A kernel and an initramfs.
    pub kernel: bool,
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Whether there is a channel to the guest's init.
    pub control_channel: bool,
    /// Whether the guest's console is kept.
    pub console_log: bool,
    /// Which machines have a console that people can type on.
    pub console: Consoles,
    /// How many disks a machine may have in all.
    pub max_disks: usize,
    /// How a guest finds its disks.
    pub disk_names: DiskNames,
}

/// Which machines have a console that people can type on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consoles {
    /// None has.
    None,
    /// Those that were made with one, [`MachineSpec::console`]: it costs them something.
    OnRequest,
    /// All have.
    Always,
}

/// How a guest finds its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskNames {
    /// By their serials.
    Serial,
    /// By their order: `/dev/vda` is the first.
    Order,
}

/// How machines run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What executes guest instructions.
    pub accelerator: Accelerator,
    /// Why, in a sentence for people.
    pub why: String,
    /// The VMM and its version, for people.
    pub vmm: String,
}

/// What executes guest instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor (KVM).
    Hardware,
    /// A program that emulates one: everything works, several times slower.
    Software,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// There is none, and no trace of one.
    Absent,
    /// Its VMM runs.
    Running {
        /// The VMM's process id on this host; none where it is no process here.
        pid: Option<u32>,
    },
    /// Its VMM has ended.
    Ended(Exit),
}

/// How a VMM ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Its exit status; unknown if it was killed, or if it ended while its driver was not looking.
    pub status: Option<i32>,
    /// The signal that killed it; unknown likewise.
    pub signal: Option<i32>,
    /// What the guest wanted by it; none where it wanted nothing, and something is wrong.
    pub wish: Option<GuestWish>,
    /// The last lines of the guest's console.
    pub console_tail: String,
}

impl fmt::Display for Exit {
    /// The end of a sentence that begins with "the VMM".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.wish, self.signal, self.status) {
            (Some(GuestWish::Off), _, _) => f.write_str("ended because the guest powered off"),
            (Some(GuestWish::Reset), _, _) => f.write_str("ended because the guest reset its machine"),
            (None, Some(signal), _) => write!(f, "was killed by signal {signal}"),
            (None, None, Some(status)) => write!(f, "ended with status {status}"),
            (None, None, None) => {
                f.write_str("ended, how is unknown because Pitwall was not running or had been restarted")
            }
        }
    }
}

/// What a guest did to its machine, as far as the VMM tells: one that knows no power-off says [`GuestWish::Reset`] for
/// both, and only the guest's last word over the control channel tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestWish {
    /// It powered off.
    Off,
    /// It reset the machine, as a reboot does.
    Reset,
}

/// A machine that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Whose machine it is.
    pub id: VmId,
    /// `Running` or `Ended`.
    pub observation: Observation,
}
