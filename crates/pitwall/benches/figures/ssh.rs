//! One `ssh … true` on an idle VM, by the line that people paste.

use std::time::Instant;

use crate::boot::line;
use crate::error::BenchError;
use crate::host::{Host, run};
use crate::measure::{Figure, Unit};
use crate::runs;

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up()?;
    host.create("bench")?;
    let line = line(&host, "bench")?;
    let once = |_| {
        let start = Instant::now();
        run(&mut host.ssh(&line, "true"))?;
        Ok(start.elapsed().as_secs_f64())
    };
    let samples = (0..runs("BENCH_RUNS", 20))
        .map(once)
        .collect::<Result<Vec<_>, BenchError>>()?;
    let what = "one ssh … true on an idle VM, wall";
    Ok(vec![
        Figure::new("ssh-true", what, Unit::Seconds, &samples).at_most(0.5),
    ])
}
