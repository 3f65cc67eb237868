//! The agent of a host by itself.

use std::process::ExitCode;
use std::sync::Arc;

use ::orchestrator::Orchestrator;
use ::orchestrator::hands::RootHands;
use ::orchestrator::network::Network;
use bus::Bus;
use link::Link;

use super::{RoleError, until_told};
use crate::config::Settings;
use crate::lock::Lock;
use crate::{log, parts};

/// Makes the host network and ends. What is there already is left as it is.
pub(crate) async fn orchestrator_setup(settings: Settings) -> Result<ExitCode, RoleError> {
    need_root()?;
    let network = Network::setup(parts::network(&settings), Arc::new(RootHands)).await?;
    log::say(&format!(
        "bridge {} has {}/{}",
        settings.bridge,
        network.gateway(),
        network.subnet().bits()
    ));
    for warning in network.warnings() {
        log::say(&format!("note: {warning}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the agent without control: what should run is started from the host's own memory.
pub(crate) async fn orchestrator(settings: Settings) -> Result<ExitCode, RoleError> {
    need_root()?;
    let _lock = Lock::take(&settings.lock_file())?;
    let shutdown = until_told()?;
    let agent = Orchestrator::start(parts::host(&settings).await?).await?;
    tracing::info!(host.id = %agent.id(), "the host's agent runs without control");
    agent.run(Bus::in_process(), Link::in_process(), shutdown).await;
    Ok(ExitCode::SUCCESS)
}

/// Everything that makes VMs or networks needs root.
pub(super) fn need_root() -> Result<(), RoleError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(RoleError::NotRoot)
    }
}
