//! What can go wrong in a driver, and what a person is told about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::{Reason, ReasonCode, VmId};

use crate::Exit;

/// An operation of a driver that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// No such machine runs.
    #[error("{0} does not run")]
    NotRunning(VmId),
    /// The driver cannot build such a machine.
    #[error("cannot build the machine of {id}")]
    Spec {
        /// Whose machine.
        id: VmId,
        /// What is wrong with it.
        #[source]
        source: SpecFault,
    },
    /// A file or folder of a machine could not be worked on.
    #[error("cannot {operation} {}", path.display())]
    Folder {
        /// A verb.
        operation: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The VMM's program could not be executed.
    #[error("cannot execute {}", binary.display())]
    Execute {
        /// The program.
        binary: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The VMM's process could not be confined, so it was not started.
    #[error("cannot confine a VMM: cannot {operation} {}", path.display())]
    Confine {
        /// A verb.
        operation: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The VMM started and ended at once.
    #[error("the VMM of {id} did not come up: it {exit}; it said: {said}")]
    DidNotStart {
        /// Whose VMM.
        id: VmId,
        /// How it ended.
        exit: Exit,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// The VMM started but did not answer.
    #[error("the VMM of {id} did not answer within {} s", limit.as_secs())]
    DidNotAnswer {
        /// Whose VMM.
        id: VmId,
        /// How long was waited.
        limit: Duration,
    },
    /// A process could not be watched or signalled.
    #[error("cannot {operation} process {pid}")]
    Process {
        /// A verb.
        operation: &'static str,
        /// The process.
        pid: u32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The VMM is still there after it was killed.
    #[error("process {pid}, the VMM of {id}, is still there {} s after it was killed", waited.as_secs())]
    DoesNotEnd {
        /// Whose VMM.
        id: VmId,
        /// Its process.
        pid: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// The VMM did not take the machine that it was told to make.
    #[error("cannot make the machine of {id}")]
    Api {
        /// Whose machine.
        id: VmId,
        /// Why not.
        #[source]
        source: ApiError,
    },
    /// Nothing here executes guest instructions but software, and this VMM has none.
    #[error("this VMM needs a processor that runs guests: {why}")]
    NoProcessor {
        /// What the probe found, a sentence.
        why: String,
    },
    /// The machine has no console that people can type on.
    #[error("{0} has no console")]
    NoConsole(VmId),
    /// The control channel could not be opened.
    #[error("cannot open the control channel of {id}")]
    Control {
        /// Whose channel.
        id: VmId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The simulator was told to fail here.
    #[error("the simulator was told to fail at {0}")]
    Simulated(&'static str),
}

/// Why a machine cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// More disks than the machine has places for.
    #[error("it has {disks} disks and the machine takes {limit}")]
    TooManyDisks {
        /// How many there are.
        disks: usize,
        /// How many fit.
        limit: usize,
    },
    /// A serial that would be cut off.
    #[error("the disk serial {0:?} is not 1 to 20 bytes of letters, digits and dashes")]
    Serial(String),
    /// Neither processors nor memory may be zero.
    #[error("a machine needs at least one processor and 1M of memory")]
    Nothing,
    /// A VMM that is confined runs as somebody.
    #[error("it has no user of its own on this host")]
    NoOwner,
    /// This VMM has no firmware that could look for something to boot.
    #[error("it has no kernel")]
    NoKernel,
    /// A socket path that the kernel would refuse (`sun_path`, unix(7)).
    #[error(
        "the socket path {} is {length} bytes long and at most 107 are possible: choose a shorter run-time directory",
        path.display()
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
}

/// A conversation with Firecracker's API that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The connection broke.
    #[error("the API broke off")]
    Io(#[from] io::Error),
    /// It was closed.
    #[error("the API hung up")]
    HungUp,
    /// No answer in time.
    #[error("the API did not answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Not what an API says.
    #[error("the API said {0:?}")]
    Garbled(String),
    /// Firecracker refused a request.
    #[error("Firecracker refused {path}: {said}")]
    Refused {
        /// The request.
        path: String,
        /// Firecracker's sentence.
        said: String,
    },
}

/// A conversation with QEMU's monitor that failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Bytes could not be exchanged.
    #[error("cannot {operation} the monitor")]
    Io {
        /// A verb.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// QEMU hung up.
    #[error("the monitor hung up")]
    HungUp,
    /// Something that is not QMP.
    #[error("the monitor sent something that is not QMP")]
    Garbled(#[source] serde_json::Error),
    /// QEMU refused a command.
    #[error("the monitor refused {command}: {answer}")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's sentence.
        answer: String,
    },
}

impl DriverError {
    /// What the VM's owner is told.
    pub fn reason(&self) -> Reason {
        let message = self.with_causes();
        match self {
            Self::NotRunning(_) => Reason::passing(ReasonCode::VmmDied, message, "start the VM again"),
            Self::Spec { .. } => Reason::lasting(
                ReasonCode::VmmFailed,
                message,
                "ask for a machine of another shape, or change the host's settings",
            ),
            Self::Folder { source, .. } if source.kind() == io::ErrorKind::StorageFull => Reason::passing(
                ReasonCode::DiskFull,
                message,
                "make room on the host's run-time directory",
            ),
            Self::Folder { .. } => Reason::passing(
                ReasonCode::HostFailed,
                message,
                "look at the host's run-time directory; `pitwall doctor` checks it",
            ),
            Self::Execute { .. } => Reason::passing(
                ReasonCode::HostNotReady,
                message,
                "install the VMM on the host: `pitwall doctor` says how",
            ),
            Self::Confine { .. } => Reason::passing(
                ReasonCode::HostNotReady,
                message,
                "run Pitwall as root, where it may make namespaces and mounts: a container needs CAP_SYS_ADMIN for it",
            ),
            Self::NoProcessor { .. } => Reason::passing(
                ReasonCode::HostNotReady,
                message,
                "take a host whose /dev/kvm runs guests, or QEMU: `pitwall doctor` explains",
            ),
            Self::DidNotStart { .. } | Self::DidNotAnswer { .. } | Self::Api { .. } => Reason::passing(
                ReasonCode::VmmFailed,
                message,
                "`pitwall doctor` on the host says what is missing",
            ),
            Self::Process { .. } | Self::DoesNotEnd { .. } => Reason::passing(
                ReasonCode::HostFailed,
                message,
                "look at this process on the host; a disk that does not answer can hold it",
            ),
            Self::Control { .. } => Reason::passing(ReasonCode::VmmFailed, message, "restart the VM"),
            Self::NoConsole(_) => Reason::lasting(
                ReasonCode::HostFailed,
                message,
                "create the VM with --console, or sign in over SSH",
            ),
            Self::Simulated(_) => {
                Reason::passing(ReasonCode::HostFailed, message, "nothing: it is a rehearsal")
            }
        }
    }

    fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
