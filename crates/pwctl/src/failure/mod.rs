//! What goes wrong, for people and for programs: what happened, why, the next step, and an exit code.

mod tell;

use std::io;
use std::path::PathBuf;

use api::{ClientError, ExitCode, Reason, VmStatus};
use tokio::task::JoinError;

pub(crate) use tell::report;

use crate::contexts::ContextError;
use crate::copy::Unpacking;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("nobody is signed in to {server}")]
    SignedOut { server: String },
    #[error("the token is forgotten here, but the server has not revoked it: it goes on being valid")]
    NotRevoked { source: ClientError },
    #[error("{what} was lost with the answer that showed it, and is not shown again")]
    SecretLost { what: String, next: String },
    #[error("there is no terminal to ask on")]
    NoTerminal { source: io::Error },
    #[error("nothing was given")]
    NoSecret,
    #[error("no password was given for the registry")]
    NoPassword,
    #[error("cannot read standard input")]
    Input { source: io::Error },
    #[error("left")]
    Left,
    #[error("nothing was done")]
    Declined,
    #[error("{name} still owns {count} VMs")]
    StillOwns { name: String, count: usize },
    #[error("{what}, and there is nobody to ask")]
    Unconfirmed { what: &'static str },
    #[error("{} of them failed", failures.len())]
    Several { failures: Vec<Failure> },
    #[error("cannot tell where pwctl itself lies")]
    OwnPath { source: io::Error },
    #[error("cannot change {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("VM {name} does not answer at {address}")]
    NoAnswer {
        name: String,
        address: std::net::SocketAddr,
        source: io::Error,
    },
    #[error("there is no randomness")]
    Random { source: io::Error },
    #[error("{count} of what was looked at is not as it should be")]
    Unwell { count: usize },
    #[error("cannot read the token from {}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("cannot read the SSH key {}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("{} holds no key that can be used", path.display())]
    Key { path: PathBuf, source: api::KeyError },
    #[error("there is no SSH key: {} cannot be read", path.display())]
    NoKey { path: PathBuf, source: io::Error },
    #[error("cannot tell the current directory, which {reference} is relative to")]
    CurrentDirectory { reference: String, source: io::Error },
    #[error("that is no image reference")]
    Image { source: api::ImageRefError },
    #[error("VM {name} is in ERROR: {}", reason.message)]
    VmFailed { name: String, reason: Reason },
    #[error("VM {name} was removed while waiting for it")]
    VmVanished { name: String },
    #[error("VM {name} went {status}: it will not become {wanted} by itself")]
    WrongTurn {
        name: String,
        status: VmStatus,
        wanted: &'static str,
    },
    #[error("VM {name} is {status}, not {wanted}, after {seconds} s")]
    WaitedTooLong {
        name: String,
        status: VmStatus,
        wanted: &'static str,
        seconds: u64,
    },
    #[error("stopped waiting for VM {name}; what was asked goes on without pwctl")]
    Interrupted { name: String },
    #[error("VM {name} is {status}; it takes SSH only while it is RUNNING")]
    NotRunning { name: String, status: VmStatus },
    #[error("VM {name} has not told its address and host key")]
    NoWayIn { name: String },
    #[error("no host has found a VM {vm}")]
    NotFoundAnywhere { vm: String },
    #[error("VM {vm} takes no key {key}")]
    NoSuchKey { key: String, vm: String },
    #[error("several hosts have found a VM named {vm}")]
    Ambiguous { vm: String },
    #[error("cannot run ssh")]
    SshMissing { source: io::Error },
    #[error("{}", told.to_string().trim_end())]
    Usage { told: clap::Error },
    #[error("{message}")]
    Stream {
        code: String,
        message: String,
        status: u8,
    },
    #[error("the log cannot be read any further: {message}")]
    LogBroken { message: String },
    #[error("the terminal does not take its mode")]
    Terminal { source: io::Error },
    #[error("exactly one of both is in a VM")]
    Sides,
    #[error("cannot read {}", path.display())]
    Here { path: PathBuf, source: io::Error },
    #[error("there is no folder {destination}")]
    NoFolder { destination: String },
    #[error("{destination} is a file, and a folder cannot take its place")]
    FolderOntoFile { destination: String },
    #[error("cannot unpack what came")]
    Unpack { source: Unpacking },
    #[error("a part of pwctl failed")]
    Thread { source: JoinError },
    #[error("cannot start")]
    Runtime { source: io::Error },
    #[error("cannot write the result")]
    Output { source: io::Error },
}

impl Failure {
    /// A stream that failed, in a command that has exit codes as all others.
    pub(crate) fn stream(code: String, message: String) -> Self {
        let exit = match code.as_str() {
            "not_found" => ExitCode::NotFound,
            "not_running" | "unsupported" => ExitCode::Conflict,
            "lost" | "busy" => ExitCode::Unavailable,
            _ => ExitCode::Error,
        };
        Self::Stream {
            code,
            message,
            status: exit.code(),
        }
    }

    /// The exit status; `own` is that of pwctl's own failures, in commands that pass another's status on.
    fn status(&self, own: Option<u8>) -> u8 {
        if let Self::Stream { status, .. } = self {
            return *status;
        }
        let code = match matches!(self, Self::Interrupted { .. } | Self::Left) {
            // As a shell reports a command that SIGINT ended.
            true => 130,
            false => self.exit_code().code(),
        };
        own.unwrap_or(code)
    }

    /// How the command ends.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) | Self::NotRevoked { source: error } => error.exit_code(),
            Self::Several { failures } => failures.first().map_or(ExitCode::Error, Self::exit_code),
            Self::TokenFile { .. } | Self::SignedOut { .. } => ExitCode::SignIn,
            Self::Context(ContextError::Unknown { .. }) => ExitCode::NotFound,
            Self::Context(ContextError::Name { .. })
            | Self::NoTerminal { .. }
            | Self::NoSecret
            | Self::NoPassword
            | Self::Unconfirmed { .. }
            | Self::KeyFile { .. }
            | Self::Key { .. }
            | Self::NoKey { .. }
            | Self::CurrentDirectory { .. }
            | Self::Image { .. }
            | Self::Here { .. }
            | Self::Sides
            | Self::Usage { .. } => ExitCode::Usage,
            Self::VmFailed { reason, .. } => ExitCode::of_reason(api::ReasonCode::parse(&reason.code)),
            Self::NotFoundAnywhere { .. } | Self::NoSuchKey { .. } | Self::NoFolder { .. } => {
                ExitCode::NotFound
            }
            Self::WrongTurn { .. }
            | Self::StillOwns { .. }
            | Self::NotRunning { .. }
            | Self::NoWayIn { .. }
            | Self::FolderOntoFile { .. }
            | Self::Ambiguous { .. } => ExitCode::Conflict,
            Self::WaitedTooLong { .. } => ExitCode::Timeout,
            Self::NoAnswer { .. } => ExitCode::Unavailable,
            Self::Context(
                ContextError::NoHome
                | ContextError::Read { .. }
                | ContextError::Write { .. }
                | ContextError::Form { .. }
                | ContextError::Open { .. },
            )
            | Self::Input { .. }
            | Self::Left
            | Self::Declined
            | Self::OwnPath { .. }
            | Self::File { .. }
            | Self::Random { .. }
            | Self::Unwell { .. }
            | Self::SecretLost { .. }
            | Self::VmVanished { .. }
            | Self::Interrupted { .. }
            | Self::SshMissing { .. }
            | Self::Stream { .. }
            | Self::LogBroken { .. }
            | Self::Terminal { .. }
            | Self::Unpack { .. }
            | Self::Thread { .. }
            | Self::Runtime { .. }
            | Self::Output { .. } => ExitCode::Error,
        }
    }

    /// What programs look at: the server's code where it spoke, else one of pwctl's own.
    fn code(&self) -> &str {
        match self {
            Self::Client(ClientError::Problem(problem)) => &problem.code,
            Self::Client(error) if error.is_transport() => "unavailable",
            Self::Client(_) => "client_error",
            Self::TokenFile { .. } | Self::SignedOut { .. } | Self::NoSecret => "no_token",
            Self::Context(_) => "no_context",
            Self::NotRevoked { .. } => "not_revoked",
            Self::SecretLost { .. } => "secret_lost",
            Self::NoTerminal { .. } | Self::Unconfirmed { .. } => "no_terminal",
            Self::Left | Self::Interrupted { .. } => "interrupted",
            Self::Declined => "declined",
            Self::StillOwns { .. } => "owns_vms",
            Self::Several { failures } => failures.first().map_or("client_error", Self::code),
            Self::NoAnswer { .. } => "unreachable",
            Self::Unwell { .. } => "unwell",
            Self::KeyFile { .. } | Self::Key { .. } | Self::NoKey { .. } => "no_ssh_key",
            Self::CurrentDirectory { .. } => "no_directory",
            Self::Image { .. } => "invalid_value",
            Self::Usage { .. } | Self::Sides | Self::NoPassword => "usage",
            Self::Stream { code, .. } => code,
            Self::LogBroken { .. } => "log_broken",
            Self::Here { .. } => "no_file",
            Self::NoFolder { .. } => "not_found",
            Self::FolderOntoFile { .. } => "folder_onto_file",
            Self::Unpack { .. } => "bad_archive",
            Self::VmFailed { reason, .. } => &reason.code,
            Self::VmVanished { .. } | Self::NotFoundAnywhere { .. } | Self::NoSuchKey { .. } => "not_found",
            Self::WrongTurn { .. } | Self::NotRunning { .. } | Self::NoWayIn { .. } => "wrong_status",
            Self::Ambiguous { .. } => "ambiguous",
            Self::WaitedTooLong { .. } => "timeout",
            Self::SshMissing { .. } => "ssh_missing",
            Self::Input { .. }
            | Self::OwnPath { .. }
            | Self::File { .. }
            | Self::Random { .. }
            | Self::Terminal { .. }
            | Self::Thread { .. }
            | Self::Runtime { .. }
            | Self::Output { .. } => "local_error",
        }
    }
}
