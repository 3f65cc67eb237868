//! The promised figures, measured: `make bench`, `make bench-vm`, or `make bench FIGURES="boot ssh"`.
//!
//! ```text
//!   boot       create → first `ssh … true`, against the same QEMU started by hand
//!   start      the same against a bare start of its kernel, and its stages
//!   crowd      20 VMs at once, and what each costs in pitwall's memory
//!   sshd       the guest's SSH server against Debian's in the same guest
//!   ssh        one `ssh … true` on an idle VM
//!   pull       the Debian image from a registry on loopback
//!   disk       what a VM's disk costs after its boot and after idle time, and making it
//!   memory     of an idle `pitwall up` without VMs
//!   powerunit  size of the program, memory of its processes in an idle VM
//!   again      a second `make up`
//! ```
//!
//! Each runs in network namespaces and temporary directories of its own and removes them. Figures are printed with
//! their spread and kept in `target/bench/FIGURE.json`. A figure that is not as promised is told and does not fail the
//! bench; one that cannot be measured does.

mod again;
mod bare;
mod boot;
mod crowd;
mod direct;
mod disk;
mod error;
mod host;
mod machine;
mod measure;
mod memory;
mod powerunit;
mod process;
mod pull;
mod ssh;
mod sshd;
mod stages;
mod start;

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use error::BenchError;
use machine::Machine;
use measure::Figure;

type Measure = fn() -> Result<Vec<Figure>, BenchError>;

const ALL: [(&str, Measure); 10] = [
    ("boot", boot::measure),
    ("start", start::measure),
    ("crowd", crowd::measure),
    ("sshd", sshd::measure),
    ("ssh", ssh::measure),
    ("pull", pull::measure),
    ("disk", disk::measure),
    ("memory", memory::measure),
    ("powerunit", powerunit::measure),
    ("again", again::measure),
];

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let unknown = wanted
        .iter()
        .find(|name| ALL.iter().all(|(known, _)| known != name));
    if let Some(name) = unknown {
        let known: Vec<_> = ALL.iter().map(|(known, _)| *known).collect();
        say(&format!(
            "there is no figure {name}; there are: {}",
            known.join(" ")
        ));
        return ExitCode::from(2);
    }
    match heed_interrupts().and_then(|()| measure(&wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&report(&error));
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: &[String]) -> Result<(), BenchError> {
    let machine = Machine::look()?;
    say(&machine.line());
    let directory = std::env::var_os("BENCH_INTO").map_or_else(|| host::target().join("bench"), Into::into);
    for (name, measure) in ALL {
        if !wanted.is_empty() && !wanted.iter().any(|it| it == name) {
            continue;
        }
        for figure in measure()? {
            say(&figure.line());
            figure.write(&directory, &machine)?;
        }
    }
    Ok(())
}

/// Ctrl-C ends the bench by way of an error, so that what was made is removed.
fn heed_interrupts() -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("start a runtime"))?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            host::INTERRUPTED.store(true, Ordering::Relaxed);
        }
        // The handler stays: a second Ctrl-C cannot cut the removal short.
    });
    Ok(())
}

/// How often something is measured, unless the environment says otherwise.
fn runs(variable: &str, usual: u32) -> u32 {
    let asked = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    asked.filter(|&runs| runs > 0).unwrap_or(usual)
}

/// One line per cause, outermost first.
fn report(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!("\n  because: {cause}"));
        next = cause.source();
    }
    text
}

#[expect(
    clippy::print_stdout,
    reason = "this program talks to a person; data goes to files"
)]
fn say(text: &str) {
    println!("{text}");
}
