//! Processor time of one command.

use std::process::Stdio;

use nix::sys::resource::{UsageWho, getrusage};
use testkit::Fault;
use tokio::process::Command;

use crate::figure::Figure;
use crate::load;
use crate::usual_or_short;
use crate::world::{World, wish};

const HELP_MS: f64 = 5.0;
const LS_MS: f64 = 25.0;
/// What `pwctl ls` shows.
const VMS: usize = 20;

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let program = std::env::var_os("BENCH_PWCTL").ok_or("BENCH_PWCTL names no program")?;
    let state = tempfile::tempdir()?;
    let world = World::start(state.path()).await?;
    let now = tokio::time::Instant::now();
    load::run(
        world.clients(1)?,
        std::iter::repeat_n(now, VMS),
        |client, number| async move {
            client.vm_create(&wish(format!("vm-{number}"))).await?;
            Ok(())
        },
    )
    .await?;
    world.settle(VMS).await?;
    let pwctl = |word: &'static str| {
        let mut command = Command::new(&program);
        command
            .arg(word)
            .env_clear()
            .env("HOME", state.path())
            .env("PITWALL_URL", world.url())
            .env("PITWALL_TOKEN", world.token())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    let (help, ls) = (cost(|| pwctl("--help")).await?, cost(|| pwctl("ls")).await?);
    world.end().await;
    Ok(vec![
        Figure::new("pwctl-help", "processor time of pwctl --help", "ms", &help).at_most(HELP_MS),
        Figure::new("pwctl-ls", "processor time of pwctl ls, 20 VMs", "ms", &ls).at_most(LS_MS),
    ])
}

/// Processor time in ms of each run; nothing else is started meanwhile.
async fn cost(command: impl Fn() -> Command) -> Result<Vec<f64>, Fault> {
    let mut samples = Vec::new();
    for _ in 0..usual_or_short(50, 5) {
        let before = of_children()?;
        let status = command().status().await?;
        if !status.success() {
            return Err(format!("pwctl failed: {status}").into());
        }
        samples.push(of_children()? - before);
    }
    Ok(samples)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn of_children() -> Result<f64, Fault> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let total = usage.user_time() + usage.system_time();
    Ok(total.tv_sec() as f64 * 1000.0 + total.tv_usec() as f64 / 1000.0)
}
