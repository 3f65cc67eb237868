//! Frames between a host and powerunit, the init of a guest.
//!
//! They travel over a byte stream that knows no connections: a virtio-serial port under QEMU, a vsock under
//! Firecracker. The host end may vanish in the middle of a frame and come back as another process, so every frame
//! carries its own beginning and its own proof:
//!
//! ```text
//!   "PWG1" │ length u32 LE │ crc32c of payload u32 LE │ payload: HostFrame or GuestFrame (guest.proto)
//! ```
//!
//! A reader that meets anything else looks for the next `PWG1` whose payload keeps its promise.
//!
//! ```text
//!   host                                   guest
//!     │ Hello, Config ─────────────────────► │  (held by the VMM until the guest opens the port)
//!     │ ◄───────────────────────────── Hello │
//!     │ ◄──────── Stage … Stage, Ready(rev 1)│
//!     │ Config(rev 2) ─────────────────────► │
//!     │ ◄──────── ConfigApplied(2), Ready(2) │
//!     ╳ host restarts                        │
//!     │ Hello, Config(rev 2) ──────────────► │
//!     │ ◄────────────────── Hello, Ready(2)  │
//!     │ Stop ──────────────────────────────► │
//!     │ ◄─────────────── Stopping, PoweredOff│
//! ```
//!
//! What always holds:
//!
//! - The host speaks first, and says everything again at each connection; saying it twice changes nothing.
//! - A greeting begins a connection: streams ([`crate::stream`]) of the one before have ended.
//! - Both hellos name the protocol versions their side speaks; the lower of the two highest is spoken.
//! - Frames and fields a side does not know are passed over, never an error.
//! - Nothing here does I/O, and no frame is printed with the host key in it.

mod codec;
mod frames;
mod raw;

pub use codec::{Decoder, Encoder, MAX_PAYLOAD, TooLong};
pub use frames::{
    Config, Disk, DiskError, Disks, Frame, FrameError, GuestFrame, GuestHello, HostFrame, HostHello, HostKey,
    ImageDefaults, LOG_KEPT, LogPart, Network, PROTOCOL, PowerOffKind, Ready, Seed, Service, Ssh, Usage,
    VSOCK_PORT, agree,
};
