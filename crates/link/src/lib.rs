//! The way for bytes between control and the VMs on its hosts: programs, files, consoles, logs. Plans and reports go by
//! `bus`; nothing said here changes what is asked of a VM.
//!
//! ```text
//!   control ── open(host, vm, request) ──►  Calls of that host  ── orchestrator
//!      Stream ◄═══ stream::Input, Output ═══►  HostStream            guest · console
//!   LogReader ◄═══ LogRecord … End ══════════  LogWriter             the VM's log
//!   SecretAsk ◄── fetch_secret(host, request) ────────────────── orchestrator
//! ```
//!
//! One concrete handle, [`Link`]. Today it ends inside this process; a TLS connection that the host dials is another
//! inside of the same handle, carries the same messages, and answers the same suite ([`conformance`]).
//!
//! What always holds, and is all that its users may rely on:
//!
//! - A stream ends with exactly one [`stream::End`](wire::stream::End). One whose host vanished ends as lost.
//! - At most [`WINDOW`](wire::stream::WINDOW) bytes are under way in each direction of a stream. A slow reader slows its
//!   own writer and nobody else.
//! - Whoever lets go of the end is noticed: a client as `Close`, a host as a lost stream.
//! - A host has one taker of its calls, the newest; so has control of what hosts ask.

pub mod conformance;
mod door;
mod log;
mod pipe;
mod secret;
mod stream;

pub use door::{Call, Calls, Link, LinkError};
pub use log::{LogReader, LogWriter, Unread, log};
pub use secret::{SecretAsk, SecretError};
pub use stream::{HostReader, HostStream, HostWriter, Overrun, Received, Stream, StreamReader, StreamWriter};
pub use stream::{Over, stream};
