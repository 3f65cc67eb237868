//! The compute port: what the orchestrator may ask of whatever runs machines, and the adapters behind it.
//!
//! ```text
//!             orchestrator
//!                  │  Driver: probe · ensure · observe · wait_ended · control · stop · destroy · recover
//!        ┌─────────┬───────┴───────┐
//!   firecracker   qemu            sim
//!      a process per VM        in memory
//! ```
//!
//! A driver says what it needs ([`Needs`]: a root filesystem, a TAP, a kernel) and what it can do
//! ([`Abilities`]); only what it needs is made for it. It knows nothing of plans, images or networks: a
//! [`MachineSpec`] names files and a TAP that are already there.
//!
//! What always holds:
//!
//! * Every verb may be said twice; the second time changes nothing.
//! * A machine outlives the process that started it; [`Driver::recover`] finds it again.
//! * `destroy` needs nothing to be healthy: neither the machine, nor its folder, nor what is known of it.
//! * All adapters pass [`conformance`].

mod cgroup;
mod confine;
pub mod conformance;
mod console;
mod error;
pub mod firecracker;
mod folder;
#[cfg(test)]
mod golden;
mod keeper;
mod kvm;
mod launch;
mod machines;
mod port;
mod process;
pub mod qemu;
mod seat;
pub mod sim;
mod spec;

pub use cgroup::missing_controllers;
pub use error::{ApiError, DriverError, QmpError, SpecFault};
pub use port::{
    Abilities, Accelerator, Capabilities, Consoles, ControlStream, DiskNames, Driver, Exit, GuestWish, Needs,
    Observation, Recovered, Verdict,
};
pub use spec::{Disk, Kernel, MachineSpec, Nic};
