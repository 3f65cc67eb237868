//! Where the time of a start goes, by the lines of pitwall's log.
//!
//! ```text
//!   create      first step   AttachNetwork   StartVmm   kernel's start   init   ready   end of ssh
//!     ├──plan───────┼──disk──────────┼──network───┼──vmm─────────┼──kernel──┼──powerunit─┼──ssh──┤
//! ```
//!
//! A guest says of each stage how long after its kernel's start it was; that places the kernel's start on the host's
//! clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::boot::ours;
use crate::error::BenchError;
use crate::host::Host;
use crate::measure::{Figure, Unit};
use crate::runs;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// What lies between two marks.
const STAGES: [(&str, &str); 7] = [
    ("stage-plan", "create to the host's first step"),
    ("stage-disk", "image, record, host key, disk"),
    ("stage-network", "TAP, address, rules"),
    ("stage-vmm", "start of QEMU to the kernel's first instant"),
    ("stage-kernel", "the kernel, up to /init"),
    ("stage-powerunit", "/init until SSH accepts"),
    (
        "stage-ssh",
        "SSH accepts to the end of the first ssh, pwctl included",
    ),
];

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up_logging("info,orchestrator=debug")?;
    // The first pulls the image.
    once(&host, 0)?;
    let starts = (1..=runs("BENCH_STAGES", 5)).map(|number| once(&host, number));
    let starts = starts.collect::<Result<Vec<_>, _>>()?;
    let figures = STAGES.iter().enumerate().map(|(index, (name, what))| {
        let samples: Vec<f64> = starts
            .iter()
            .filter_map(|marks| Some((marks.get(index + 1)? - marks.get(index)?) * 1000.0))
            .collect();
        Figure::new(name, what, Unit::Milliseconds, &samples)
    });
    Ok(figures.collect())
}

/// The marks of one start, in seconds of the day.
fn once(host: &Host, number: u32) -> Result<Vec<f64>, BenchError> {
    let name = host.vm_name(number);
    let before = host.log()?.len();
    let start = now();
    let wall = ours(host, &name)?.cost.wall;
    let log = host.log()?;
    host.pwctl(&["rm", &name, "--quiet"])?;
    let log = log.get(before..).unwrap_or_default();
    let inner = marks(log).ok_or_else(|| BenchError::unreadable("pitwall's log", log))?;
    let marks = [start].into_iter().chain(inner).chain([start + wall]);
    // Past midnight the clock begins again.
    Ok(marks
        .map(|mark| {
            if mark < start {
                mark + SECONDS_PER_DAY
            } else {
                mark
            }
        })
        .collect())
}

/// First step, network, VMM, kernel, init, ready.
fn marks(log: &str) -> Option<[f64; 6]> {
    let line = |words: &str| log.lines().find(|line| line.contains(words));
    let init = line("stage=\"init\"")?;
    let after: f64 = init.rsplit_once("at_ms=")?.1.trim().parse().ok()?;
    let told = line("stage=\"ssh\"")?;
    let ready: f64 = told.rsplit_once("at_ms=")?.1.trim().parse().ok()?;
    let told = time(told)?;
    let kernel = told - ready / 1000.0;
    Some([
        time(line("doing step=")?)?,
        time(line("doing step=AttachNetwork")?)?,
        time(line("doing step=StartVmm")?)?,
        kernel,
        kernel + after / 1000.0,
        told,
    ])
}

/// Of a line that begins with an RFC 3339 time in UTC, in seconds of the day.
fn time(line: &str) -> Option<f64> {
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    clock
        .split(':')
        .map(|part| part.parse::<f64>().ok())
        .try_fold(0.0, |sum, part| Some(sum * 60.0 + part?))
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64() % SECONDS_PER_DAY
}
