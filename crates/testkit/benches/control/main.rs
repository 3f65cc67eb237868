//! What the control plane is good for, measured: `make bench-control`, or `make bench-control FIGURES="create list"`.
//!
//! ```text
//!   create    500 a second for 30 s over 100 connections, against bare commits of the same rows
//!   durable   kill -9 while VMs are created: what was acknowledged is there
//!   list      100 of 10,000 for a member who sees half of them
//!   events    1,000 followers, from a host's report to them
//!   churn     memory and file after 20,000 creates and deletes against those after 2,000
//!   pwctl     processor time of one command
//! ```
//!
//! Control plane, HTTP server, 20 hosts and whoever asks are tasks of this one process, so all of it shares the machine's
//! processors; only what `kill -9` is tried on is a process of its own. The hosts speak with control as real ones do, in
//! whole reports with their pace, and hold nothing: what a real one writes to its own disks is not measured here.
//!
//! A latency counts from the moment at which a request was planned, so that waiting for a free connection counts too.
//! Figures are printed with their spread and kept in `target/bench/FIGURE.json`. One that is not as promised is told and
//! does not fail the bench; one that cannot be measured does, and an acknowledged create that is lost. `BENCH_SHORT=1` takes a few seconds for each, which shows
//! that it can be measured and nothing else.

mod churn;
mod create;
mod durable;
mod events;
mod figure;
mod host;
mod list;
mod load;
mod pwctl;
mod world;

use std::process::ExitCode;

use figure::{Figure, Machine};
use testkit::Fault;

/// The one that the program has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ALL: [&str; 6] = ["create", "durable", "list", "events", "churn", "pwctl"];

#[tokio::main]
async fn main() -> ExitCode {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let done = match words.as_slice() {
        [serve, state] if serve == durable::SERVE => durable::serve(state.as_ref()).await,
        wanted => measure(wanted).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(wanted: &[String]) -> Result<(), Fault> {
    if let Some(unknown) = wanted.iter().find(|name| !ALL.contains(&name.as_str())) {
        return Err(format!("there is no figure {unknown}; there are: {}", ALL.join(" ")).into());
    }
    let machine = Machine::look()?;
    say(&machine.line());
    let directory =
        std::env::var_os("BENCH_INTO").map_or_else(|| "target/bench".into(), std::path::PathBuf::from);
    for name in ALL {
        if !wanted.is_empty() && !wanted.iter().any(|it| it == name) {
            continue;
        }
        for figure in figures(name).await? {
            say(&figure.line());
            figure.write(&directory, &machine)?;
        }
    }
    Ok(())
}

async fn figures(name: &str) -> Result<Vec<Figure>, Fault> {
    match name {
        "create" => create::measure().await,
        "durable" => durable::measure().await,
        "list" => list::measure().await,
        "events" => events::measure().await,
        "churn" => churn::measure().await,
        _ => pwctl::measure().await,
    }
}

/// What is measured, or in a short run the second.
fn usual_or_short<T>(usual: T, short: T) -> T {
    if std::env::var_os("BENCH_SHORT").is_some() {
        short
    } else {
        usual
    }
}

#[expect(
    clippy::print_stdout,
    reason = "this program talks to a person; data goes to files"
)]
fn say(text: &str) {
    println!("{text}");
}
