//! The memory of an idle `pitwall up` that has no VM.

use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::host::{Host, until};
use crate::measure::{Figure, Unit};
use crate::process::Memory;
use crate::runs;

/// Long enough for what the start left over to be given back.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let samples = (0..runs("BENCH_STARTS", 3))
        .map(|_| sample())
        .collect::<Result<Vec<_>, _>>()?;
    let figure = |name, what, of: fn(&Memory) -> f64| {
        let megabytes: Vec<f64> = samples.iter().map(|memory| of(memory) * 1024.0 / 1e6).collect();
        Figure::new(name, what, Unit::Megabytes, &megabytes).at_most(40.0)
    };
    Ok(vec![
        figure("pitwall-rss", "idle pitwall up without VMs, resident", |memory| {
            memory.resident
        }),
        figure("pitwall-pss", "the same, proportional", |memory| {
            memory.proportional
        }),
    ])
}

fn sample() -> Result<Memory, BenchError> {
    let host = Host::up()?;
    let settled = Instant::now() + SETTLE;
    until("pitwall is idle", SETTLE * 2, || {
        Ok((Instant::now() >= settled).then_some(()))
    })?;
    Memory::of(host.pitwall_pid())
}
