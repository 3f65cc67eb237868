//! The SFTP server: a session's program like any other, from the same binary, run as the user who logged in.
//!
//! ```text
//!   stdin ──► stream::Input ──► request::parse ──► Server::answer ──► reply::encode ──► stream::Output ──► stdout
//!              whole packets     bytes to values    ├── handles, file, listing     values to bytes
//!                                                   └── path, attributes
//! ```
//!
//! Version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, which is what every client speaks. The kernel
//! decides what the user may do; nothing here asks who that is.
//!
//! Always holds:
//!
//! - Names and paths are bytes, never text: what a directory lists can be opened under the same bytes.
//! - One request at a time, answered in order. So what a client may hold of our memory is one packet, one reply and a
//!   bounded number of handles, however it pipelines.
//! - A request that fails, or that is not known, is answered; only a packet that breaks the format ends the session.
//! - Nothing of the image is needed but the files themselves: no library, no program, not even `/etc/passwd`.

mod attributes;
mod codec;
mod failure;
mod file;
mod handles;
mod listing;
mod long_name;
mod path;
mod reply;
mod request;
mod server;
mod stream;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use codec::Malformed;
use server::Server;
use stream::{Input, Output};

/// The largest packet in either direction, without its length: what OpenSSH's client and server take.
const MAX_PACKET: usize = 256 << 10;
/// The most bytes of a file in one packet; the rest is for kind, id, handle and offset.
const MAX_DATA: usize = MAX_PACKET - 1024;

/// Runs as `powerunit sftp`: standard input and output are the channel.
pub fn main() -> ExitCode {
    let _ = rustix::thread::set_name(c"powerunit-sftp");
    match converse_on(io::stdin().as_fd(), io::stdout().as_fd()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            complain(&end);
            ExitCode::FAILURE
        }
    }
}

/// One line for the client, who sees standard error.
#[expect(
    clippy::print_stderr,
    reason = "stderr is the channel's second stream, which clients show"
)]
fn complain(end: &End) {
    let cause = std::error::Error::source(end).map(|cause| format!(": {cause}"));
    eprintln!("powerunit: {end}{}", cause.unwrap_or_default());
}

/// Why a session ends before its client closes it.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the file transfer ends")]
    Malformed(#[from] Malformed),
    #[error("cannot read the client's requests")]
    Receive(#[source] io::Error),
    #[error("cannot answer the client")]
    Send(#[source] io::Error),
}

/// Without the standard library's buffers, which would copy all once more.
fn converse_on(input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<(), End> {
    let input = File::from(input.try_clone_to_owned().map_err(End::Receive)?);
    let output = File::from(output.try_clone_to_owned().map_err(End::Send)?);
    converse(input, output)
}

/// Answers until the client closes its end. Replies go out when no whole request is left to answer.
fn converse(from: impl Read, to: impl Write) -> Result<(), End> {
    let mut input = Input::new(from);
    let mut output = Output::new(to);
    let mut server = Server::default();
    let mut greeted = false;
    loop {
        while let Some(packet) = input.packet()? {
            if greeted {
                let (id, request) = request::parse(packet)?;
                let reply = server.answer(request);
                output.reply(id, &reply).map_err(End::Send)?;
            } else {
                request::parse_init(packet)?;
                output.version().map_err(End::Send)?;
                greeted = true;
            }
        }
        output.flush().map_err(End::Send)?;
        if !input.fill().map_err(End::Receive)? {
            return Ok(());
        }
    }
}
