//! powerunit, the init of a microVM: one static program with several faces.
//!
//! The kernel starts it as `/init`, and as PID 1 it makes the machine; it starts itself again as `powerunit ssh`,
//! and that child serves SSH. They share nothing but a socket, so whatever happens in the large half, with its
//! runtime and cryptography, the small half that must never end goes on. For each session that moves files the
//! child starts `powerunit sftp` as the user who logged in; for each stream of the host PID 1 starts `powerunit stream`. Started under the name of a command that the image lacks, it
//! is that command.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(status) = powerunit::commands::run(std::env::args_os()) {
        return status;
    }
    let face = std::env::args().nth(1);
    match face.as_deref() {
        Some("ssh") => powerunit::ssh::main(std::env::args_os().nth(2).as_ref().map(Path::new)),
        Some("sftp") => powerunit::sftp::main(),
        Some("stream") => powerunit::stream::main(),
        Some(_) | None if rustix::process::getpid().is_init() => powerunit::init::main(),
        Some(_) | None => powerunit::usage(),
    }
}
