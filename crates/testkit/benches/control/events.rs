//! How long a host's report takes to those who follow.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use model::{HostId, Phase, VmId};
use testkit::Fault;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::figure::Figure;
use crate::world::{World, wish};
use crate::{say, usual_or_short};

/// Connections of each user, so each change is seen by so many.
const EACH: usize = 10;
const VMS_EACH: usize = 5;
const PER_SECOND: u32 = 50;
const P99_MS: f64 = 100.0;
/// What an event may take before it counts as lost.
const LATEST: Duration = Duration::from_secs(20);

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let state = tempfile::tempdir()?;
    let world = World::start(state.path()).await?;
    let users = usual_or_short(100, 10);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut followers = JoinSet::new();
    for user in 0..users {
        let client = world.client(&world.user(&format!("user-{user}")).await?)?;
        for number in 0..VMS_EACH {
            client.vm_create(&wish(format!("vm-{number}"))).await?;
        }
        for _ in 0..EACH {
            let (client, arrived) = (client.clone(), arrived.clone());
            followers.spawn(async move {
                let mut events = pin!(client.event_list(None));
                while let Some(Ok(received)) = events.next().await {
                    if received.event.kind == "status"
                        && arrived.send((received.event.vm, Instant::now())).is_err()
                    {
                        break;
                    }
                }
            });
        }
    }
    world.settle(users * VMS_EACH).await?;
    let wanted = users * EACH;
    testkit::until(
        "all follow",
        || async { Ok::<_, Fault>(world.meter.followers()) },
        |&followers| followers == wanted as u64,
    )
    .await?;
    // What came of the VMs' starts is none of it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    while arrivals.try_recv().is_ok() {}

    let vms = placed(&world).await?;
    let changes = usual_or_short(1_000, 100).min(vms.len() * 2);
    let told = Arc::new(Mutex::new(HashMap::new()));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut times = Vec::new();
    let mut change = 0;
    let deadline = Instant::now() + LATEST + ticks.period() * u32::try_from(changes)?;
    while times.len() < changes * EACH && Instant::now() < deadline {
        tokio::select! {
            Some((vm, at)) = arrivals.recv() => {
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(&since) = told.get(&vm) {
                    times.push(at.saturating_duration_since(since));
                }
            }
            _ = ticks.tick(), if change < changes => {
                // Each VM leaves its state in the first round and comes back in the second.
                let (host, vm) = vms[change % vms.len()];
                let phase = if change < vms.len() { Phase::Failed } else { Phase::Running };
                told.lock().unwrap_or_else(PoisonError::into_inner).insert(vm, Instant::now());
                world.see(host, vm, phase);
                change += 1;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    say(&format!(
        "events: {wanted} connections, {changes} changes, {} arrived of {}",
        times.len(),
        changes * EACH
    ));
    followers.shutdown().await;
    world.end().await;
    if times.len() < changes * EACH {
        return Err(format!(
            "{} of {} events did not come in time",
            changes * EACH - times.len(),
            changes * EACH
        )
        .into());
    }
    Ok(vec![
        Figure::of_times(
            "events",
            "a host's report to each of 10 followers, 1,000 connected, 50 changes a second",
            &times,
        )
        .p99_at_most(P99_MS),
    ])
}

async fn placed(world: &World) -> Result<Vec<(HostId, VmId)>, Fault> {
    let vms = world.store.read().await?.vm_list().await?;
    Ok(vms.into_iter().map(|vm| (vm.host, vm.asked.id)).collect())
}
