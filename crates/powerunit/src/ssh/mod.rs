//! The SSH server: a child of PID 1, one thread, any number of connections.
//!
//! ```text
//!   PID 1 ──fd 0: listening socket──► server ──► one task per connection: client (russh's handler)
//!     ▲ │                               │           ├── auth      who gets in, and what with
//!     │ └──fd 1: Config ──► settings ───┘           ├── forward   ports, UNIX sockets, the key agent
//!     └──────── Ready, Failed, Usage                └── session   one per channel
//!                                                          ├── process, pty   the program
//!                                                          └── pump           its bytes
//! ```
//!
//! Always holds:
//!
//! - The key decides who gets in, never the name; a name only chooses the user.
//! - A newer configuration holds for connections and logins that begin later; open sessions go on, but for
//!   those of keys that it bars.
//! - Memory is bounded however slow a client or a program is: see [`gate`] and [`pump`].
//! - A session's program gets SIGHUP when its channel or connection goes before it has ended; what it put in the
//!   background gets it only from a terminal that closes.
//! - What belongs to a user is reached with the user's rights: see [`user`].

mod auth;
mod client;
mod environment;
mod forward;
mod gate;
mod lobby;
mod outcome;
mod permissions;
mod presence;
mod process;
mod pty;
mod pump;
mod server;
mod session;
mod settings;
mod user;
mod words;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wire::guest::{Config, Decoder, Encoder, GuestFrame, HostFrame};

use crate::accounts;
use auth::{Authority, Image};
use lobby::Limits;
use settings::Settings;

/// Runs as `powerunit ssh [IMAGE]`: standard input is the listening socket, standard output the socket to PID 1. IMAGE
/// is the image's file tree without what was written in this VM.
pub fn main(image: Option<&Path>) -> ExitCode {
    let _ = rustix::thread::set_name(c"powerunit-ssh");
    crate::limits::raise_own();
    if let Err(error) = hear_all_signals() {
        complain(&format!("sessions cannot be ended politely: {error}"));
    }
    let image = image.and_then(open_image);
    let done = take_descriptors().and_then(|(listener, parent)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(listener, parent, image))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("the SSH server cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Takes back what PID 1 blocks for its own sake: a mask outlives exec (signal(7)), so every session would have it.
fn hear_all_signals() -> nix::Result<()> {
    nix::sys::signal::SigSet::empty().thread_set_mask()
}

fn open_image(root: &Path) -> Option<Image> {
    let opened = Image::open(root);
    if let Err(error) = &opened {
        complain(&format!(
            "no authorized_keys file counts: {}: {error}",
            root.display()
        ));
    }
    opened.ok()
}

/// One line for the console.
#[expect(
    clippy::print_stderr,
    reason = "stderr is the guest's console, where PID 1's problems go too"
)]
fn complain(text: &str) {
    eprintln!("powerunit: {text}");
}

/// Moves both away from where a program started by us would inherit them.
fn take_descriptors() -> io::Result<(TcpListener, UnixStream)> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let parent = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    listener.set_nonblocking(true)?;
    parent.set_nonblocking(true)?;
    Ok((listener, parent))
}

/// Serves until PID 1 closes its end.
async fn serve(listener: TcpListener, parent: UnixStream, image: Option<Image>) -> io::Result<()> {
    let mut listener = Some(tokio::net::TcpListener::from_std(listener)?);
    let mut parent = tokio::net::UnixStream::from_std(parent)?;
    let mut decoder = Decoder::<HostFrame>::default();
    let (current, settings) = watch::channel(None::<Arc<Settings>>);
    let authority = Authority::new(settings, image);
    let mut usage_due = None;
    let mut buffer = vec![0; 4096];
    loop {
        let count = tokio::select! {
            count = parent.read(&mut buffer) => count?,
            () = at(usage_due) => {
                if let Some(usage) = authority.presence.usage() {
                    say(&mut parent, &GuestFrame::Usage(usage)).await?;
                }
                usage_due = next_usage(&authority);
                continue;
            }
        };
        if count == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..count).unwrap_or_default());
        while let Some(frame) = decoder.next_frame() {
            let Ok(HostFrame::Config(config)) = frame else {
                continue;
            };
            let answer = take(*config, &current);
            if matches!(answer, GuestFrame::Ready(_)) {
                if let Some(listener) = listener.take() {
                    tokio::spawn(server::accept(listener, authority.clone(), Limits::ORDINARY));
                }
                usage_due = next_usage(&authority).map(|_| Instant::now());
            }
            say(&mut parent, &answer).await?;
        }
    }
}

/// Puts a configuration into force, if it can be, and gives what PID 1 is told.
fn take(config: Config, current: &watch::Sender<Option<Arc<Settings>>>) -> GuestFrame {
    match Settings::new(config) {
        Ok(settings) => {
            let ready = settings.ready();
            current.send_replace(Some(Arc::new(settings)));
            GuestFrame::Ready(ready)
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let message = format!("{error}{}", cause.unwrap_or_default());
            GuestFrame::Failed {
                code: "host_key_invalid".to_owned(),
                message,
            }
        }
    }
}

async fn say(parent: &mut tokio::net::UnixStream, frame: &GuestFrame) -> io::Result<()> {
    match Encoder.encode(frame) {
        Ok(bytes) => parent.write_all(&bytes).await,
        Err(_) => Ok(()),
    }
}

/// When the host is told next how the machine is used; `None` if it does not want to know.
fn next_usage(authority: &Authority) -> Option<Instant> {
    let every = authority.settings()?.usage_every?;
    Instant::now().checked_add(every)
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
