//! The end of everything on this machine, with everything asked kept.

use std::process::ExitCode;
use std::time::Duration;

use ::orchestrator::Orchestrator;

use super::RoleError;
use super::orchestrator::need_root;
use crate::config::Settings;
use crate::lock::Lock;
use crate::{log, parts};

/// How long the running pitwall may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the control plane, then each VM in order, then removes the host network and all run-time files.
pub(crate) async fn down(settings: Settings) -> Result<ExitCode, RoleError> {
    need_root()?;
    let lock = Lock::wrest(&settings.lock_file(), PATIENCE)?;
    Orchestrator::take_down(parts::host(&settings).await?).await?;
    drop(lock);
    match std::fs::remove_dir_all(&settings.run) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(RoleError::Directory {
                path: settings.run,
                source,
            });
        }
    }
    log::say("pitwall is down; its state is kept, and up brings it back");
    Ok(ExitCode::SUCCESS)
}
