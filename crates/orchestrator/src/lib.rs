//! The agent on a host: it makes VMs exist.
//!
//! ```text
//!   plan ─► accept (pure) ─► memory ─► one task per VM: diff (pure) ─► steps, each with its undo
//!                                           │                              │
//!   report ◄─ view of every task ◄──────────┘           image · driver · network ─► hands (root)
//!   calls ─► guest · console · log of that VM
//! ```
//!
//! What always holds:
//!
//! - Nothing is removed because a plan does not name it. Only `remove` removes.
//! - Running VMs are found again before anything is changed; stopping the orchestrator stops no VM.
//! - A counter, an address, a host key is written down and synced before the step it allows.
//! - Each step that makes something has its undo beside it, and a sweep looks for what was missed.
//! - Only [`hands`] does what needs root on the network; the closed list of its requests could become a process
//!   of its own.
//! - This room never learns who owns a VM, and never imports `control`.

pub mod hands;
pub mod network;

mod accept;
mod activity;
mod boots;
mod calls;
mod config;
mod diff;
mod disk;
mod guest;
mod host;
mod idle;
mod log;
mod memory;
mod report;
mod secrets;
mod service;
#[cfg(test)]
mod testing;
mod undo;
mod vm;

pub use boots::BootLimits;
pub use config::{Config, KernelFiles};
pub use disk::{DiskError, SMALLEST as SMALLEST_DISK, make as make_disk};
pub use log::LogLimits;
pub use memory::{BootOutcome, FileError, Memory, Remembered, VmRecord};
pub use service::{Orchestrator, Parts, StartError};
/// Where guests listen for their host, for a driver whose channel has ports.
pub use wire::guest::VSOCK_PORT as GUEST_PORT;

use model::Feature;

/// What this version of the orchestrator can do for a VM.
const FEATURES: [Feature; 5] = [
    Feature::OCI_IMAGE,
    Feature::OCI_LAYOUT,
    Feature::OPTIONS,
    Feature::IDLE,
    Feature::REGISTRY_SECRET,
];
