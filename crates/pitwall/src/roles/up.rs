//! Every role in one process.
//!
//! Start: lock, store, token, bus, control, orchestrator, and the API last, so that whoever reaches it finds all
//! the rest there. Stop: the API stops accepting, then the reconcilers, then the host's agent; VMs go on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::orchestrator::Orchestrator;
use bus::Bus;
use control::{Caller, Control, ControlConfig};
use link::Link;
use model::HostId;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::orchestrator::need_root;
use super::{RoleError, until_told};
use crate::config::Settings;
use crate::lock::Lock;
use crate::parts;

/// Runs everything until SIGTERM or SIGINT.
pub(crate) async fn up(settings: Settings) -> Result<ExitCode, RoleError> {
    need_root()?;
    let _lock = Lock::take(&settings.lock_file())?;
    let shutdown = until_told()?;
    let host = parts::host(&settings).await?;
    let store = Store::open(&settings.state.join("pitwall.db")).await?;
    let (bus, link) = (Bus::in_process(), Link::in_process());
    let control = Control::open(ControlConfig::new(store.clone(), bus.clone(), link.clone())).await?;
    let admin = admin_token(&control, &settings.token_file()).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| RoleError::Listen {
            address: settings.listen,
            source,
        })?;
    let agent = Orchestrator::start(host).await?;
    let host_id = agent.id();
    let agent = tokio::spawn(agent.run(bus, link, shutdown.clone()));
    let reconcilers = tokio::spawn({
        let (control, shutdown) = (control.clone(), shutdown.clone());
        async move { control.run(shutdown.cancelled()).await }
    });
    until_heard(&control, &admin, host_id, &shutdown).await?;
    tracing::info!(host.id = %host_id, listen = %settings.listen, "pitwall is up");
    server::serve(listener, control, shutdown.cancelled()).await;
    shutdown.cancel();
    for task in [agent, reconcilers] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a part of pitwall ended early");
        }
    }
    // In order, so that the database's file alone is a whole backup.
    store.close().await;
    tracing::info!("pitwall is down; the VMs go on");
    Ok(ExitCode::SUCCESS)
}

/// Waits until control has heard this machine's own host, so that the first create finds a host to run on.
async fn until_heard(
    control: &Control,
    caller: &Caller,
    host: HostId,
    shutdown: &CancellationToken,
) -> Result<(), RoleError> {
    while !shutdown.is_cancelled()
        && !control
            .host_list(caller)
            .await?
            .iter()
            .any(|known| known.id == host)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Sees to it that the token file holds a token the database knows. Otherwise (the first start, a lost file, a
/// database from a backup) a new one takes the place of every older one. Gives who comes with it.
async fn admin_token(control: &Control, path: &Path) -> Result<Caller, RoleError> {
    if let Ok(text) = fs::read_to_string(path)
        && let Ok(admin) = control
            .authenticate(text.trim(), control::Origin::default())
            .await
    {
        return Ok(admin);
    }
    let token = control.admin_token_renew().await?;
    let write = || -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{}", token.reveal())?;
        file.sync_all()?;
        if let Ok(old) = fs::metadata(path) {
            std::os::unix::fs::chown(&beside, Some(old.uid()), Some(old.gid()))?;
        }
        fs::rename(&beside, path)
    };
    write().map_err(|source| RoleError::Directory {
        path: path.to_owned(),
        source,
    })?;
    Ok(control
        .authenticate(token.reveal(), control::Origin::default())
        .await?)
}
