//! powerunit, the init of a microVM.
//!
//! ```text
//!   kernel ── /init ──► init (PID 1, synchronous, one thread, no panic)
//!                         │  modules, control port, root filesystem, network
//!      host ◄── pw.ctl ──►│  reaps, obeys Stop, says Ready
//!                         │      └─ for each stream of the host ──► stream (synchronous) ──► a program, or files
//!                         │ starts again within a second
//!                         ▼ fd 0: listening socket   fd 1: socket pair with guest frames
//!                       ssh (child, asynchronous) ──► shells and programs of the image
//!                                                   └─► sftp (as the user, synchronous)
//! ```
//!
//! Always holds:
//!
//! - Nothing of ours lies in the image's file tree: program and modules live in the initramfs, which is emptied,
//!   and the configuration only in memory.
//! - The listening socket belongs to PID 1, so connections queue while the child is started again.
//! - Code that runs as PID 1 neither indexes nor unwraps: a panic there would be the end of the machine.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod accounts;
mod chain;
pub mod commands;
pub mod init;
mod launch;
mod limits;
mod memory;
pub mod sftp;
mod signal;
pub mod ssh;
pub mod stream;
mod terminal;

use std::process::ExitCode;

/// What a person is told who starts this program by hand.
#[expect(
    clippy::print_stderr,
    reason = "a person asked, and stderr is where the answer goes"
)]
pub fn usage() -> ExitCode {
    eprintln!(
        "powerunit {} is the init of a microVM; it does nothing elsewhere",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::from(2)
}
