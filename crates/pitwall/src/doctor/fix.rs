//! What `--fix` does: a closed list of changes that take nothing away and that pitwall makes itself when it starts.
//! Packages, owners of files and other people's firewalls are left to people.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use orchestrator::hands::{Hands, Request, RootHands};
use orchestrator::network::Network;

use super::finding::Finding;
use crate::config::Settings;
use crate::parts;

/// One harmless change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fix {
    /// Loads a module of the kernel.
    LoadModule(&'static str),
    /// Gives a file or directory of pitwall's own these rights.
    SetMode(PathBuf, u32),
    /// Makes what is missing of the host network.
    SetUpNetwork,
    /// Switches IPv4 forwarding on.
    Forward,
    /// Lets the bridge's packets past a tool that drops what is forwarded.
    Admit,
}

impl fmt::Display for Fix {
    /// The command that does the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule(name) => write!(f, "modprobe {name}"),
            Self::SetMode(path, mode) => write!(f, "chmod {mode:04o} {}", path.display()),
            Self::SetUpNetwork | Self::Admit => f.write_str("pitwall orchestrator --setup"),
            Self::Forward => f.write_str("sysctl -w net.ipv4.ip_forward=1"),
        }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
enum FixError {
    #[error("modprobe cannot be run: {0}")]
    Modprobe(std::io::Error),
    #[error("modprobe failed: {0}")]
    Module(String),
    #[error("the rights cannot be changed: {0}")]
    Mode(std::io::Error),
    #[error(transparent)]
    Network(#[from] orchestrator::network::NetworkError),
    #[error(transparent)]
    Hands(#[from] orchestrator::hands::HandsError),
}

/// What `--fix` did about a finding.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Deed {
    /// What the finding was about.
    what: &'static str,
    /// What was done, as the command that does the same.
    did: String,
    /// Why that did not succeed.
    failed: Option<String>,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed {
            None => write!(f, "fixed    {:<12} {}", self.what, self.did),
            Some(why) => write!(f, "failed   {:<12} {}: {why}", self.what, self.did),
        }
    }
}

/// Does what can be done about the findings, in their order, and goes on after a failure.
pub(super) async fn perform(settings: &Settings, findings: &[Finding]) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for finding in findings {
        if let Some(fix) = &finding.fix {
            let done = fix.perform(settings).await;
            deeds.push(Deed {
                what: finding.what,
                did: fix.to_string(),
                failed: done.err().map(|error| error.to_string()),
            });
        }
    }
    deeds
}

impl Fix {
    async fn perform(&self, settings: &Settings) -> Result<(), FixError> {
        match self {
            Self::LoadModule(name) => load_module(name),
            Self::SetMode(path, mode) => {
                fs::set_permissions(path, Permissions::from_mode(*mode)).map_err(FixError::Mode)
            }
            Self::SetUpNetwork => {
                Network::setup(parts::network(settings), Arc::new(RootHands)).await?;
                Ok(())
            }
            Self::Forward => Ok(hands(Request::SetForwarding(true)).await?),
            Self::Admit => {
                let bridge = settings.bridge.clone();
                Ok(hands(Request::AdmitBridge { bridge }).await?)
            }
        }
    }
}

async fn hands(request: Request) -> Result<(), orchestrator::hands::HandsError> {
    RootHands.perform(request).await.map(drop)
}

fn load_module(name: &str) -> Result<(), FixError> {
    let output = Command::new("modprobe")
        .arg(name)
        .output()
        .map_err(FixError::Modprobe)?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(FixError::Module(said))
    }
}
