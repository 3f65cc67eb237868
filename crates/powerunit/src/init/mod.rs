//! PID 1: makes a machine out of a kernel, a few disks and a configuration, and keeps it.
//!
//! ```text
//!   early mounts ─► modules ─► control port ─► Config ─► root ─► mounts ─► network ─► ssh child ─► Ready
//!                                                │                                       │
//!                                                └─ a step fails: Failed, wait for Stop  └─ supervise until Stop
//! ```
//!
//! Always holds: one thread, no step waits without a limit (but for the host, which may come when it likes), and
//! once a machine is up only a shutdown ends the loop in [`supervise`].

mod apifs;
mod beneath;
mod boot;
mod clock;
mod control;
mod copy;
mod disks;
mod entropy;
mod error;
mod grow;
mod identity;
mod initctl;
mod kernel_modules;
mod kmsg;
mod lacks;
mod log;
mod modules;
mod netlink;
mod network;
mod root;
mod service;
mod shutdown;
mod signals;
mod ssh_child;
mod streams;
mod supervise;
mod volumes;
mod workload;

use std::process::ExitCode;

pub use error::Error;
pub(crate) use shutdown::power;

/// Runs as PID 1. It returns only if the kernel refuses to power off.
pub fn main() -> ExitCode {
    let kind = match boot::early() {
        Ok(machine) => supervise::run(machine),
        Err(error) => {
            kmsg::problem(&error);
            shutdown::pause();
            wire::guest::PowerOffKind::Off
        }
    };
    shutdown::power(kind);
    ExitCode::FAILURE
}
