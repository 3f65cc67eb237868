//! From the wish for a VM to the end of its first `ssh … true`, against a bare start of the same kernel; and where the
//! time goes.

use crate::bare::Bare;
use crate::boot::{Cost, Start, ours};
use crate::error::BenchError;
use crate::host::Host;
use crate::measure::{Figure, Unit};
use crate::stages;
use crate::{runs, say};

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let mut figures = against_bare()?;
    figures.extend(stages::measure()?);
    Ok(figures)
}

fn against_bare() -> Result<Vec<Figure>, BenchError> {
    let (host, bare) = (Host::up()?, Bare::new()?);
    // The first pair pulls the image, makes the disk template and fills the page cache; it does not count.
    pair(&host, &bare, 0)?;
    let pairs = (1..=runs("BENCH_PAIRS", 10)).map(|number| pair(&host, &bare, number));
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let figure = |name, what, target, of: fn(&Cost) -> f64| {
        let both: Vec<(f64, f64)> = pairs.iter().map(|(ours, bare)| (of(ours), of(bare))).collect();
        let ours: Vec<f64> = both.iter().map(|pair| pair.0).collect();
        Figure::new(name, what, Unit::Seconds, &ours)
            .at_most(target)
            .against("bare", &both)
    };
    Ok(vec![
        figure(
            "start-cpu",
            "create to the end of the first ssh, processor time of all processes",
            1.45,
            |cost| cost.cpu,
        ),
        figure("start-wall", "the same, wall", 1.5, |cost| cost.wall),
    ])
}

fn pair(host: &Host, bare: &Bare, number: u32) -> Result<(Cost, Cost), BenchError> {
    let name = host.vm_name(number);
    let ours = ours(host, &name)?;
    host.pwctl(&["rm", &name, "--quiet"])?;
    let bare = bare.start(&ours.words)?;
    let Start {
        cost,
        vmm,
        pitwall,
        commands,
        ..
    } = ours;
    say(&format!(
        "  pair {number}: {:.2} s and {:.2} CPU s (QEMU {vmm:.2}, pitwall {pitwall:.2}, pwctl and ssh {commands:.2}); \
         bare {:.2} s and {:.2} CPU s",
        cost.wall, cost.cpu, bare.wall, bare.cpu
    ));
    Ok((cost, bare))
}
