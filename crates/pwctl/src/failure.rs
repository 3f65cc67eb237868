//! What goes wrong, for people and for programs: what happened, why, the next step, and an exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;

use api::{ClientError, ExitCode, Reason, VmStatus};
use serde_json::json;
use tokio::task::JoinError;

use crate::copy::Unpacking;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
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
        let code = match matches!(self, Self::Interrupted { .. }) {
            // As a shell reports a command that SIGINT ended.
            true => 130,
            false => self.exit_code().code(),
        };
        own.unwrap_or(code)
    }

    /// How the command ends.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::TokenFile { .. } => ExitCode::SignIn,
            Self::KeyFile { .. }
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
            | Self::NotRunning { .. }
            | Self::NoWayIn { .. }
            | Self::FolderOntoFile { .. }
            | Self::Ambiguous { .. } => ExitCode::Conflict,
            Self::WaitedTooLong { .. } => ExitCode::Timeout,
            Self::VmVanished { .. }
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
            Self::TokenFile { .. } => "no_token",
            Self::KeyFile { .. } | Self::Key { .. } | Self::NoKey { .. } => "no_ssh_key",
            Self::CurrentDirectory { .. } => "no_directory",
            Self::Image { .. } => "invalid_value",
            Self::Usage { .. } | Self::Sides => "usage",
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
            Self::Interrupted { .. } => "interrupted",
            Self::SshMissing { .. } => "ssh_missing",
            Self::Terminal { .. } | Self::Thread { .. } | Self::Runtime { .. } | Self::Output { .. } => {
                "local_error"
            }
        }
    }

    /// The next step.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Client(error) => return client_hint(error),
            Self::TokenFile { path, .. } => format!(
                "run it with sudo, or set PITWALL_TOKEN or PITWALL_TOKEN_FILE; {} is made when pitwall starts first",
                path.display()
            ),
            Self::KeyFile { .. } | Self::Key { .. } => {
                "give the .pub file of a key pair; make one with: ssh-keygen -t ed25519".into()
            }
            Self::NoKey { .. } => {
                "name yours with --key FILE, or let make up make one (with --state where it keeps its state)"
                    .into()
            }
            Self::CurrentDirectory { .. } => "write the whole path".into(),
            Self::VmFailed { reason, .. } => reason.hint.clone(),
            Self::VmVanished { .. } => "pwctl ls shows what is there".into(),
            Self::WrongTurn { name, .. } => {
                format!("pwctl get {name} shows more; pwctl start {name} starts it")
            }
            Self::WaitedTooLong { name, .. } | Self::Interrupted { name } => {
                format!("pwctl get {name} shows where it stands; pwctl rm {name} removes it")
            }
            Self::NotRunning { name, .. } => format!("start it with: pwctl start {name}"),
            Self::NoWayIn { name } => format!("look at it with: pwctl get {name}"),
            Self::NotFoundAnywhere { .. } => "pwctl host found lists them".into(),
            Self::NoSuchKey { vm, .. } => format!("pwctl keys {vm} lists those it takes"),
            Self::Ambiguous { .. } => "use the id that pwctl host found shows".into(),
            Self::SshMissing { .. } => "install OpenSSH's client: apt-get install openssh-client".into(),
            Self::Stream { code, .. } if code == "lost" => {
                "look at the VM with pwctl get, and try again".into()
            }
            Self::Sides => "write NAME:PATH for the one in the VM".into(),
            Self::NoFolder { .. } => "make it first, or leave the slash at its end away".into(),
            Self::FolderOntoFile { .. } => "name another destination".into(),
            Self::Image { .. }
            | Self::Usage { .. }
            | Self::Stream { .. }
            | Self::LogBroken { .. }
            | Self::Terminal { .. }
            | Self::Here { .. }
            | Self::Unpack { .. }
            | Self::Thread { .. }
            | Self::Runtime { .. }
            | Self::Output { .. } => return None,
        };
        Some(hint)
    }

    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    fn as_text(&self) -> String {
        if let Self::Usage { told } = self {
            // The parser's own layout: the mistake, the usage, where help is.
            return told.to_string();
        }
        let mut text = format!("pwctl: {self}\n");
        for cause in self.causes() {
            // Writing into a String does not fail.
            let _ = writeln!(text, "  because: {cause}");
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "  next: {hint}");
        }
        text
    }

    fn as_json(&self) -> String {
        if let Self::Client(ClientError::Problem(problem)) = self
            && let Ok(line) = serde_json::to_string(problem)
        {
            return line + "\n";
        }
        let detail = std::iter::once(self.to_string())
            .chain(self.causes())
            .collect::<Vec<_>>()
            .join(": ");
        let code = self.code();
        let problem = json!({ "type": "about:blank", "title": "pwctl could not do it", "detail": detail, "code": code, "hint": self.hint() });
        format!("{problem}\n")
    }
}

fn client_hint(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::Problem(problem) => return problem.hint.clone(),
        ClientError::Unreachable { .. } => {
            "is pitwall running? start it with make up or sudo pitwall up, or name another server with --url or PITWALL_URL"
        }
        ClientError::Timeout { .. } | ClientError::StreamLost { .. } | ClientError::StreamBroken { .. } => {
            "try again; the server's log tells more"
        }
        ClientError::Url { .. } | ClientError::NotPitwall { .. } => {
            "set the server's address with --url or PITWALL_URL"
        }
        ClientError::TokenInTheClear { .. } => {
            "use an https:// address, or run pwctl on the server's machine"
        }
        ClientError::TokenForm => "look at PITWALL_TOKEN, or at the file that PITWALL_TOKEN_FILE names",
        ClientError::Segment { .. } => "pwctl ls shows the names",
        ClientError::Answer { .. } => "pwctl version shows both versions",
        ClientError::Setup { .. } => return None,
    };
    Some(hint.to_owned())
}

/// Tells on stderr and gives the exit status; `own` replaces it where a command passes another's status on.
pub(crate) fn report(failure: &Failure, json: bool, own: Option<u8>) -> process::ExitCode {
    let text = if json {
        failure.as_json()
    } else {
        failure.as_text()
    };
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    process::ExitCode::from(failure.status(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let failure = Failure::TokenFile {
            path: "/var/lib/pitwall/admin.token".into(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        assert_eq!(
            failure.as_text(),
            "pwctl: cannot read the token from /var/lib/pitwall/admin.token\n  because: permission denied\n  next: run it \
             with sudo, or set PITWALL_TOKEN or PITWALL_TOKEN_FILE; /var/lib/pitwall/admin.token is made when pitwall \
             starts first\n"
        );
        let line: serde_json::Value = serde_json::from_str(&failure.as_json()).unwrap();
        assert_eq!(line["code"], "no_token");
        assert_eq!(failure.as_json().lines().count(), 1);
    }

    #[test]
    fn a_failed_vm_ends_the_command_as_its_reason_says() {
        let failed = |code: &str| {
            let reason = Reason {
                code: code.into(),
                message: "m".into(),
                hint: "h".into(),
                retried: false,
            };
            Failure::VmFailed {
                name: "web".into(),
                reason,
            }
            .exit_code()
        };
        assert_eq!(failed("disk_full"), ExitCode::Capacity);
        assert_eq!(failed("image_not_found"), ExitCode::Error);
        assert_eq!(failed("from_the_future"), ExitCode::Error);
    }
}
