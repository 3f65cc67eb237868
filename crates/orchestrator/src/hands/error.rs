//! Requests that could not be carried out.

use std::io;
use std::path::PathBuf;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum HandsError {
    /// The kernel's netlink socket could not be opened.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// The kernel refused something that was asked over netlink.
    #[error("cannot {operation} {subject}")]
    Netlink {
        /// A verb.
        operation: &'static str,
        /// The interface, or what else it was about.
        subject: String,
        /// The kernel's answer.
        #[source]
        source: Box<rtnetlink::Error>,
    },
    /// An interface that should be there is not.
    #[error("there is no interface {0}")]
    NoLink(String),
    /// An interface of that name is there and is not ours.
    #[error("the interface {0} is there already, and Pitwall did not make it")]
    NotOurs(String),
    /// A TAP could not be made.
    #[error("cannot {operation} the TAP {name}")]
    Tap {
        /// A verb.
        operation: &'static str,
        /// Its name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel setting could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    Setting {
        /// A verb.
        operation: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Run {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} could not {operation}: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it was asked for.
        operation: &'static str,
        /// What it wrote to its standard error.
        said: String,
    },
    /// A program's answer could not be understood.
    #[error("the answer of {program} is not understood")]
    Answer {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The reply is of another kind than the request.
    #[error("the reply does not fit the request")]
    Reply,
    /// The simulator was told to fail here.
    #[error("the simulator was told to fail at request {0}")]
    Simulated(usize),
}
