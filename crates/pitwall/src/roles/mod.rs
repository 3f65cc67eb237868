//! The roles, each with its start and its end in one place.

mod admin_token;
mod down;
mod error;
mod orchestrator;
mod own;
mod up;

pub(crate) use admin_token::rotate as admin_token_rotate;
pub(crate) use down::down;
pub(crate) use error::RoleError;
pub(crate) use orchestrator::{orchestrator, orchestrator_setup};
pub(crate) use own::{OwnError, own_client};
pub(crate) use up::up;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGTERM or SIGINT.
fn until_told() -> Result<CancellationToken, RoleError> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(RoleError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RoleError::Runtime)?;
    let told = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(token)
}
