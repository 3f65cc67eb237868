//! `kill -9` in the middle of creates: what was acknowledged is there after the next start.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::VmId;
use testkit::Fault;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::figure::Figure;
use crate::world::{World, client, wish};
use crate::{say, usual_or_short};

/// The word that makes this program the one that is killed.
pub(crate) const SERVE: &str = "--serve";

const CONNECTIONS: usize = 20;

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let mut lost = Vec::new();
    for round in 0..usual_or_short(5, 1) {
        lost.push(kill(round).await?);
    }
    if lost.iter().any(|&lost| lost > 0.0) {
        return Err("an acknowledged create was lost".into());
    }
    Ok(vec![
        Figure::new(
            "create-lost",
            "acknowledged creates that kill -9 lost",
            "VMs",
            &lost,
        )
        .at_most(0.0),
    ])
}

/// How many acknowledged creates are gone after one kill.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
async fn kill(round: usize) -> Result<f64, Fault> {
    let state = tempfile::tempdir()?;
    let mut served = Served::start(state.path()).await?;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS {
        let (client, acknowledged) = (client(&served.url, &served.token)?, acknowledged.clone());
        workers.spawn(async move {
            // Until the server is killed.
            for number in 0.. {
                let Ok(vm) = client.vm_create(&wish(format!("vm-{worker}-{number}"))).await else {
                    break;
                };
                count(&acknowledged).insert(vm.id);
            }
        });
    }
    // Where exactly it is killed differs: so many creates after another.
    let enough = 300 + 37 * round;
    testkit::until(
        "enough VMs are created",
        || async { Ok::<_, Fault>(count(&acknowledged).len()) },
        |&made| made >= enough,
    )
    .await?;
    served.child.kill().await?;
    while workers.join_next().await.is_some() {}
    let again = Served::start(state.path()).await?;
    let there: BTreeSet<VmId> = client(&again.url, &again.token)?
        .vm_list()
        .await?
        .items
        .into_iter()
        .map(|vm| vm.id)
        .collect();
    let acknowledged = count(&acknowledged).clone();
    let lost = acknowledged.difference(&there).count();
    say(&format!(
        "durable: {} acknowledged, {} there after kill -9, {lost} lost",
        acknowledged.len(),
        there.len()
    ));
    Ok(lost as f64)
}

fn count(acknowledged: &Mutex<BTreeSet<VmId>>) -> std::sync::MutexGuard<'_, BTreeSet<VmId>> {
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process of its own; dropped, it is killed.
struct Served {
    child: Child,
    url: String,
    token: String,
}

impl Served {
    async fn start(state: &Path) -> Result<Self, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([SERVE.as_ref(), state.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().ok_or("it has no stdout")?;
        let mut lines = BufReader::new(said).lines();
        let limit = Duration::from_secs(30);
        let mut line = async || -> Result<String, Fault> {
            let line = tokio::time::timeout(limit, lines.next_line()).await??;
            line.ok_or_else(|| "it ended before it served".into())
        };
        let (url, token) = (line().await?, line().await?);
        Ok(Self { child, url, token })
    }
}

/// Serves over `state` until stdin ends; says where on stdout, then its admin's token.
pub(crate) async fn serve(state: &Path) -> Result<(), Fault> {
    let world = World::start(state).await?;
    say(&format!("{}\n{}", world.url(), world.token()));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    world.end().await;
    Ok(())
}
