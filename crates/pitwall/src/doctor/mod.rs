//! What this host can do, what is missing, and the command that mends it.
//!
//! ```text
//!   machine · vmm · network · state · running      look, then judge (pure) ─► findings ─► print
//!                                                                                │
//!                                            --fix: the harmless ones, then look again
//! ```
//!
//! What always holds:
//!
//! - Without `--fix` nothing is changed; not even a lock is taken or a schema brought up to date.
//! - Each finding that is not well has the command that mends it. `--fix` does a closed list of them and says each; it
//!   says too how many it left.
//! - No root is needed, though some things can only be seen with it.

mod finding;
mod fix;
mod machine;
mod metrics;
mod network;
mod running;
mod state;
mod vmm;

use std::path::Path;
use std::process::ExitCode;

use finding::Finding;
use fix::Deed;

use crate::config::Settings;
use crate::log;
use crate::roles::RoleError;

/// How the doctor is asked.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Answer with one JSON document
    #[arg(long)]
    json: bool,
    /// Do what is harmless of what mends, and say it: rights of pitwall's own files, forwarding, the firewall's rules
    #[arg(long)]
    fix: bool,
}

/// Everything found, as `--json` prints it.
#[derive(Debug, serde::Serialize)]
struct Report {
    ok: bool,
    version: &'static str,
    /// What executes guest instructions and why, in a sentence.
    acceleration: String,
    findings: Vec<Finding>,
    /// What `--fix` did; the findings are those after it.
    fixes: Vec<Deed>,
}

/// Looks at everything and prints it. Fails where VMs cannot run.
pub(crate) async fn run(settings: &Settings, options: Options) -> Result<ExitCode, RoleError> {
    let (mut acceleration, mut findings) = examine(settings).await;
    let mut fixes = Vec::new();
    if options.fix {
        fixes = fix::perform(settings, &findings).await;
        if !fixes.is_empty() {
            (acceleration, findings) = examine(settings).await;
        }
    }
    let report = Report {
        ok: findings.iter().all(|finding| finding.ok),
        version: env!("CARGO_PKG_VERSION"),
        acceleration,
        findings,
        fixes,
    };
    if options.json {
        log::say(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print(&report, options.fix);
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn examine(settings: &Settings) -> (String, Vec<Finding>) {
    let mut findings = machine::look(settings);
    let (acceleration, of_vmm) = vmm::look(settings).await;
    findings.extend(of_vmm);
    findings.extend(network::look(settings).await);
    findings.extend(state::look(settings).await);
    findings.extend(running::look(settings).await);
    (acceleration, findings)
}

fn print(report: &Report, fixed: bool) {
    log::say(&format!("VMs run with {}", report.acceleration));
    for deed in &report.fixes {
        log::say(&deed.to_string());
    }
    for finding in &report.findings {
        let mark = match (finding.ok, &finding.mend) {
            (true, None) => "ok",
            (true, Some(_)) => "note",
            (false, _) => "missing",
        };
        log::say(&format!("{mark:<7}  {:<12} {}", finding.what, finding.found));
        if let Some(mend) = &finding.mend {
            log::say(&format!("         {:<12} -> {mend}", ""));
        }
    }
    let left = report.findings.iter().filter(|finding| !finding.ok).count();
    let fixable = report.findings.iter().filter(|finding| finding.fixable).count();
    match (left, fixable, fixed) {
        (0, 0, _) => {}
        (_, 0, true) => log::say(&format!("{left} left for you: see the lines with ->")),
        (_, _, true) => log::say("not all could be fixed: see above"),
        (_, 0, false) => log::say(&format!("{left} to mend: see the lines with ->")),
        (_, _, false) => log::say(&format!("pitwall doctor --fix mends {fixable} of these")),
    }
}

/// The nearest place above that exists.
fn nearest(path: &Path) -> &Path {
    path.ancestors()
        .find(|place| place.exists())
        .unwrap_or(Path::new("/"))
}
