//! The words host and guest say to each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use model::{MacAddr, RestartPolicy, ServiceSeen};

use crate::stream::{Input, Lane, Open, Output};

/// The version of the protocol that this code speaks, and the oldest it still speaks.
pub const PROTOCOL: (u32, u32) = (1, 3);

/// Where a guest listens for its host, on a machine whose channel is a virtio socket device (vsock(7)). Below 1024, so
/// only root may.
pub const VSOCK_PORT: u32 = 1022;

/// The version to speak with a side that speaks `min` to `max`: the lower of the two highest, unless one side has
/// dropped it.
pub fn agree(min: u32, max: u32) -> Option<u32> {
    let version = max.min(PROTOCOL.1);
    (version >= min && version >= PROTOCOL.0).then_some(version)
}

/// What one side may send in one frame.
pub trait Frame: Sized {
    /// The payload, as `guest.proto` has it.
    fn to_payload(&self) -> Vec<u8>;

    /// The frame in this payload; `None` for a kind that this version does not know.
    ///
    /// # Errors
    /// [`FrameError`] when the payload is no message, or a value in it is out of its range.
    fn from_payload(payload: &[u8]) -> Result<Option<Self>, FrameError>;
}

/// A whole, undamaged frame that makes no sense: the two sides disagree about the protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not a message of the protocol.
    #[error("cannot decode a guest frame")]
    Decode(#[from] prost::DecodeError),
    /// A part that every configuration has.
    #[error("the guest configuration has no {0:?} part")]
    Missing(&'static str),
    /// Randomness has 32 bytes.
    #[error("a seed of {0} bytes")]
    Seed(usize),
    /// Not one of the words that the protocol has for it.
    #[error("{1} is no {0}")]
    Word(&'static str, i32),
    /// A message that says nothing.
    #[error("an empty {0}")]
    Empty(&'static str),
    /// Text that is no IP address.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// More bits than an IPv4 address has.
    #[error("/{0} is not an IPv4 prefix length")]
    Prefix(u32),
    /// A hardware address has six bytes.
    #[error("a MAC address of {0} bytes")]
    Mac(usize),
    /// More than sixteen bits.
    #[error("{0} is not a TCP port")]
    Port(u32),
    /// A disk that cannot be looked for.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Host to guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostFrame {
    /// First on every connection.
    Hello(HostHello),
    /// Everything the guest is told.
    Config(Box<Config>),
    /// Shut down in order.
    Stop {
        /// How long processes have between SIGTERM and SIGKILL; whole milliseconds.
        grace: Duration,
    },
    /// To be answered with the same number.
    Ping {
        /// Chosen by the host.
        n: u64,
    },
    /// The host's wall clock, said every few seconds. Version 2.
    Time {
        /// Nanoseconds since 1970-01-01 UTC.
        unix_ns: u64,
    },
    /// The host has written down all of a boot's log before an offset. Version 2.
    LogHeld {
        /// The boot it speaks of.
        boot_id: String,
        /// Bytes since the boot.
        offset: u64,
    },
    /// Begins a stream under a number not used in this connection. Version 2.
    Open {
        /// The number.
        stream: u32,
        /// What it is for.
        open: Open,
    },
    /// Something for an open stream. Version 2.
    Input {
        /// The stream's number.
        stream: u32,
        /// What.
        input: Input,
    },
}

/// Guest to host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestFrame {
    /// The answer to each [`HostFrame::Hello`]; the guest's present state follows it.
    Hello(GuestHello),
    /// A step of the boot is done.
    Stage {
        /// A stable word: `modules`, `root`, `network`, `ssh`.
        name: String,
        /// Time since the kernel started; whole milliseconds.
        at: Duration,
    },
    /// SSH connections are accepted.
    Ready(Ready),
    /// A newer configuration is in force.
    ConfigApplied {
        /// Its revision.
        revision: u64,
    },
    /// The guest cannot become what its configuration asks.
    Failed {
        /// A stable word, such as `disk_missing`.
        code: String,
        /// For a person.
        message: String,
    },
    /// An ordered shutdown has begun.
    Stopping,
    /// All filesystems are clean; the machine ends now.
    PoweredOff {
        /// What the guest wanted.
        kind: PowerOffKind,
    },
    /// The answer to [`HostFrame::Ping`].
    Pong {
        /// The host's number.
        n: u64,
    },
    /// What the service printed. Version 2.
    Log(LogPart),
    /// How the service is, at each change and after each greeting. Version 2.
    Service(ServiceSeen),
    /// Something of an open stream. Version 2.
    Output {
        /// The stream's number.
        stream: u32,
        /// What.
        output: Output,
    },
    /// How the machine is used, as often as the configuration asks. Version 3.
    Usage(Usage),
}

/// How a machine is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// SSH connections whose client is known.
    pub sessions: u32,
    /// How many such connections there have been since the SSH server started, open ones included. So one between two
    /// frames is seen too.
    pub logins: u64,
    /// Time that its processors were busy since the boot, all together; whole milliseconds.
    pub busy: Duration,
}

/// A run of bytes that the service printed. The guest keeps the last [`LOG_KEPT`] bytes that the host does not hold
/// yet; a part that begins beyond the end of the last one shows a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Bytes of all parts of this boot before this one.
    pub offset: u64,
    /// When it was read, nanoseconds since 1970-01-01 UTC.
    pub unix_ns: u64,
    /// Where it was printed.
    pub lane: Lane,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How much of the log a guest keeps for a host that is away, bytes.
pub const LOG_KEPT: usize = 1 << 20;

/// The host's side of the greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostHello {
    /// Oldest protocol version it speaks.
    pub protocol_min: u32,
    /// Newest protocol version it speaks.
    pub protocol_max: u32,
    /// Its wall clock, nanoseconds since 1970-01-01 UTC; 0 when it does not say.
    pub host_time_unix_ns: u64,
    /// Randomness for the guest's kernel, fresh in each greeting.
    pub seed: Option<Seed>,
}

/// Random bytes that nobody else has seen. They are never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(not shown)")
    }
}

/// The guest's side of the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestHello {
    /// Oldest protocol version it speaks.
    pub protocol_min: u32,
    /// Newest protocol version it speaks.
    pub protocol_max: u32,
    /// Version of the init, for people.
    pub powerunit_version: String,
    /// The kernel's `boot_id`; another one means another boot.
    pub boot_id: String,
}

/// What makes a started guest this VM and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Rises with every change; the same revision changes nothing.
    pub revision: u64,
    /// Host name, one label.
    pub hostname: String,
    /// The interface; `None` leaves only the loopback.
    pub network: Option<Network>,
    /// How to get in.
    pub ssh: Ssh,
    /// What the image's own configuration says.
    pub image: ImageDefaults,
    /// Where the filesystem is.
    pub disks: Disks,
    /// What runs besides logins; `None` is a machine to log into.
    pub service: Option<Service>,
    /// How often the guest says how it is used; whole seconds. `None`: never. Version 3.
    pub usage_every: Option<Duration>,
}

/// The image's command. It runs as the image's user, in its directory and with its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// A number, or a name such as `SIGTERM`; empty means `SIGTERM`.
    pub stop_signal: String,
}

/// The guest's one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: Ipv4Addr,
    /// Prefix length of its subnet, 0 to 32.
    pub prefix: u8,
    /// Where the default route goes.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, best first.
    pub resolvers: Vec<IpAddr>,
    /// Names the interface; `None` means the first that is not the loopback.
    pub mac: Option<MacAddr>,
}

/// The SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// TCP port on all addresses.
    pub port: u16,
    /// The VM's identity, the same for its whole life.
    pub host_key: HostKey,
    /// One OpenSSH public key line each.
    pub authorized_keys: Vec<String>,
    /// Authorities whose user certificates count, one OpenSSH public key line each.
    pub user_cas: Vec<String>,
    /// Whether `authorized_keys` files of the image itself count.
    pub image_keys: bool,
    /// Fingerprints (`SHA256:…`) of keys that open nothing and whose open connections end. Version 3.
    pub barred: Vec<String>,
}

impl Ssh {
    /// The documented port inside a VM.
    pub const DEFAULT_PORT: u16 = 2222;
}

/// An OpenSSH private key file. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(String);

impl HostKey {
    /// Takes the text of the file.
    pub fn from_pem(pem: String) -> Self {
        Self(pem)
    }

    /// The text of the file.
    pub fn as_pem(&self) -> &str {
        &self.0
    }

    pub(super) fn into_pem(self) -> String {
        self.0
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(not shown)")
    }
}

/// The parts of the image's configuration (OCI image-spec, `config`) that logins use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// `name`, `uid`, `name:group` or `uid:gid`; empty means root.
    pub user: String,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// An absolute path, or empty.
    pub working_dir: String,
    /// Absolute paths that are directories of the writable disk itself, filled once from the image: the kernel takes
    /// no upper layer of an overlay that lies on an overlay.
    pub volumes: Vec<String>,
}

/// The block devices of the root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disks {
    /// The image: EROFS, read-only.
    pub root: Disk,
    /// Further devices that the image's table of devices names, in its order.
    pub root_devices: Vec<Disk>,
    /// What the VM writes: ext4.
    pub upper: Disk,
    /// The kernel's modules: EROFS, read-only.
    pub modules: Option<Disk>,
}

/// How to find a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// By the serial that the VMM gave it (`/sys/block/*/serial`).
    Serial(String),
    /// By its path in `/dev`.
    Path(String),
}

/// Text that is neither `serial:NAME` nor `/dev/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not name a disk: write serial:NAME or /dev/NAME")]
pub struct DiskError(String);

impl FromStr for Disk {
    type Err = DiskError;

    fn from_str(text: &str) -> Result<Self, DiskError> {
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', ':', ',', '\0']) && name != "..";
        match (text.strip_prefix("serial:"), text.strip_prefix("/dev/")) {
            (Some(name), None) if plain(name) => Ok(Self::Serial(name.to_owned())),
            (None, Some(name)) if plain(name) => Ok(Self::Path(text.to_owned())),
            _ => Err(DiskError(text.to_owned())),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(name) => write!(f, "serial:{name}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// The guest accepts SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The configuration in force.
    pub config_revision: u64,
    /// Where the server listens.
    pub ssh_port: u16,
    /// The user that a login name unknown to the image becomes.
    pub login: String,
    /// One OpenSSH public key line each.
    pub host_keys: Vec<String>,
}

/// How the guest wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOffKind {
    /// Stay off.
    Off,
    /// Start again.
    Reboot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_maximum_is_spoken() {
        assert_eq!(agree(1, 1), Some(1));
        assert_eq!(agree(1, 2), Some(2));
        assert_eq!(agree(1, 9), Some(PROTOCOL.1));
        assert_eq!(agree(PROTOCOL.1 + 1, PROTOCOL.1 + 3), None);
        assert_eq!(agree(0, 0), None);
    }

    #[test]
    fn disks_have_a_serial_or_a_path() {
        assert_eq!("serial:pw-root".parse(), Ok(Disk::Serial("pw-root".into())));
        assert_eq!("/dev/vda".parse(), Ok(Disk::Path("/dev/vda".into())));
        for bad in [
            "",
            "vda",
            "serial:",
            "/dev/",
            "/dev/../etc",
            "serial:a,b",
            "/dev/..",
        ] {
            assert!(bad.parse::<Disk>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_host_key_is_never_printed() {
        let key = HostKey::from_pem("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret".into());
        assert!(!format!("{key:?}").contains("secret"));
    }
}
