//! A second `make up`: it changes nothing, says the same, and is quick.

use std::time::Instant;

use crate::error::BenchError;
use crate::host::{Host, run};
use crate::measure::{Figure, Unit};
use crate::runs;

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::new()?;
    let measured = samples(&host);
    // In order where that is possible; what remains ends with the host.
    let down = run(&mut host.script("down"));
    let samples = measured?;
    down?;
    let what = "a second make up, wall";
    Ok(vec![
        Figure::new("up-again", what, Unit::Seconds, &samples).at_most(5.0),
    ])
}

fn samples(host: &Host) -> Result<Vec<f64>, BenchError> {
    let first = run(&mut host.script("up"))?;
    let again = |_| {
        let start = Instant::now();
        let second = run(&mut host.script("up"))?;
        let wall = start.elapsed().as_secs_f64();
        if first != second {
            return Err(BenchError::Differs {
                first: first.clone(),
                second,
            });
        }
        Ok(wall)
    };
    (0..runs("BENCH_UPS", 5)).map(again).collect()
}
