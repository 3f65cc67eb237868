//! A failure as it is told: to people in three lines, to programs as a problem document on one.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process;

use api::ClientError;
use serde_json::json;

use super::Failure;

impl Failure {
    /// The next step.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Client(error) => return client_hint(error),
            Self::TokenFile { path, .. } => format!(
                "run it with sudo, or sign in with: pwctl login; {} is made when pitwall starts first",
                path.display()
            ),
            Self::Context(error) => error.hint(),
            Self::SignedOut { server } => format!("sign in with: pwctl login {server}"),
            Self::NotRevoked { .. } => {
                "sign in again and revoke it: pwctl token ls, then pwctl token rm ID; it ends by itself at its time".into()
            }
            Self::SecretLost { next, .. } => next.clone(),
            Self::NoTerminal { .. } => "pipe a token in: pwctl login URL --with-token < FILE".into(),
            Self::NoSecret => "an admin makes a code with: pwctl user create NAME".into(),
            Self::NoPassword => "type it, or pipe it in: pwctl create … --registry-user NAME < FILE".into(),
            Self::StillOwns { name, .. } => {
                format!("say who gets them with --transfer-to WHO; pwctl ls --owner {name} shows them")
            }
            Self::Unconfirmed { .. } => "say that it is meant with --yes; --dry-run shows what would go".into(),
            Self::NoAnswer { .. } => {
                "pwctl connects from this machine, so it must have a way to the VM's address; pwctl exec needs none"
                    .into()
            }
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
            // Each of them says its own.
            Self::Several { .. }
            | Self::Input { .. }
            | Self::Left
            | Self::Declined
            | Self::OwnPath { .. }
            | Self::File { .. }
            | Self::Random { .. }
            | Self::Unwell { .. }
            | Self::Image { .. }
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
        if let Self::Several { failures } = self {
            return failures.iter().map(Self::as_text).collect();
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
        if let Self::Several { failures } = self {
            return failures.iter().map(Self::as_json).collect();
        }
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
            "is pitwall running? start it with make up or sudo pitwall up, or name another server with --context or --url"
        }
        ClientError::Timeout { .. } | ClientError::StreamLost { .. } | ClientError::StreamBroken { .. } => {
            "try again; the server's log tells more"
        }
        ClientError::Url { .. } | ClientError::NotPitwall { .. } => {
            "set the server's address with --url or PITWALL_URL, or choose one with: pwctl config use"
        }
        ClientError::TokenInTheClear { .. } => {
            "use an https:// address; or say that it is meant with --insecure-http"
        }
        ClientError::TokenForm => "sign in again with: pwctl login",
        ClientError::Segment { .. } => "pwctl ls shows the names",
        ClientError::Answer { .. } => "pwctl version shows both versions",
        ClientError::Setup { .. } | ClientError::Tls { .. } | ClientError::Certificate { .. } => return None,
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
    use api::{ExitCode, Reason};

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
             with sudo, or sign in with: pwctl login; /var/lib/pitwall/admin.token is made when pitwall starts first\n"
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
