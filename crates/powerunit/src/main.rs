//! powerunit, the init of a microVM: one static program with two faces.
//!
//! The kernel starts it as `/init`, and as PID 1 it makes the machine; it starts itself again as `powerunit ssh`,
//! and that child serves SSH. They share nothing but a socket, so whatever happens in the large half, with its
//! runtime and cryptography, the small half that must never end goes on.

use std::process::ExitCode;

fn main() -> ExitCode {
    let face = std::env::args().nth(1);
    match face.as_deref() {
        Some("ssh") => powerunit::ssh::main(),
        Some(_) | None if rustix::process::getpid().is_init() => powerunit::init::main(),
        Some(_) | None => powerunit::usage(),
    }
}
