//! Every role in one process.
//!
//! Start: lock, store, token, bus, control, orchestrator, and the API last, so that whoever reaches it finds all
//! the rest there. Stop: the API stops accepting, then the reconcilers, then the host's agent; VMs go on.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::orchestrator::Orchestrator;
use bus::Bus;
use control::{Caller, Control, ControlConfig, MAX_LIMIT, PageRequest};
use link::Link;
use model::HostId;
use server::Metrics;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::orchestrator::need_root;
use super::{RoleError, admin_token, until_told};
use crate::config::Settings;
use crate::edges;
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
    let metrics = Metrics::new()?;
    let config = ControlConfig {
        meter: Arc::new(metrics.clone()),
        quotas: settings.quotas,
        retention: settings.retention,
        ..ControlConfig::new(store.clone(), bus.clone(), link.clone())
    };
    let control = Control::open(config).await?;
    let admin = admin_token::ensure(&control, &settings.token_file()).await?;
    let door = edges::door(settings.listen, &settings.door, metrics.clone()).await?;
    let metrics_listener = edges::metrics_listener(&settings.door).await?;
    let agent = Orchestrator::start(host).await?;
    let host_id = agent.id();
    let agent = tokio::spawn(agent.run(bus, link, shutdown.clone()));
    // Requests under way still leave something to be written down, so the reconcilers end after them.
    let served = CancellationToken::new();
    let reconcilers = tokio::spawn({
        let (control, served) = (control.clone(), served.clone());
        async move { control.run(served.cancelled()).await }
    });
    until_heard(&control, &admin, host_id, &shutdown).await?;
    let metrics_page = tokio::spawn({
        let (control, shutdown) = (control.clone(), shutdown.clone());
        async move { edges::serve_metrics(metrics_listener, control, metrics, &shutdown).await }
    });
    tracing::info!(host.id = %host_id, listen = %settings.listen, "pitwall is up");
    server::serve(door, control, shutdown.cancelled()).await;
    shutdown.cancel();
    served.cancel();
    for task in [agent, reconcilers, metrics_page] {
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
    let all = PageRequest {
        limit: Some(MAX_LIMIT),
        cursor: None,
    };
    while !shutdown.is_cancelled()
        && !control
            .host_list(caller, &all)
            .await?
            .items
            .iter()
            .any(|known| known.id == host)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
