//! One stream of the host: a program, or files as a tar archive, in a process of its own.
//!
//! ```text
//!   host ── guest frames ── PID 1 ── the same frames, one stream ── powerunit stream ─┬─ exec     a program
//!                                                                                     ├─ pack     files to archive
//!                                                                                     └─ unpack   archive to files
//! ```
//!
//! The process does what its one `Open` says, answers `Ended`, and ends. It is root, and synchronous: whatever
//! blocks, crashes or fills memory in here takes one stream with it.
//!
//! Always holds:
//!
//! - No more output is under way than the host gave room for, and no more input is taken than it was given credit for.
//! - When the stream is gone, so is the process group of its program. What left that group, as a daemon does, stays.
//! - The end of the socket to PID 1 means `Close`.

mod exec;
mod failure;
mod files;
mod link;
mod pack;
mod unpack;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use wire::stream::{End, Failure, Open};

use link::Link;

/// Runs as `powerunit stream`: standard input is the socket to PID 1.
pub fn main() -> ExitCode {
    let _ = rustix::thread::set_name(c"powerunit-strm");
    crate::limits::raise_own();
    // What PID 1 blocks for its own sake outlives exec (signal(7)).
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    match take_socket().map(Link::new) {
        Ok(mut link) => {
            serve(&mut link);
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Moves it away from where a program started by us would inherit it.
fn take_socket() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}

fn serve(link: &mut Link) {
    let Some(open) = link.opened() else { return };
    let done = match open {
        Open::Exec(exec) => exec::run(&exec, link),
        Open::ReadFiles { path } => pack::run(&path, link).map(|()| End::Done),
        Open::WriteFiles { path } => unpack::run(&path, link).map(|()| End::Done),
    };
    link.end(done.unwrap_or_else(|error| End::Failed(Failure::from(&error))));
}
