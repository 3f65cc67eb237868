//! Twenty VMs created at once, each logged into as soon as it is up, beside one created alone; and what they cost in
//! pitwall's memory.

use std::thread;
use std::time::{Duration, Instant};

use crate::boot::{ours, vmm};
use crate::error::BenchError;
use crate::host::{Host, until};
use crate::machine::cores;
use crate::measure::{Figure, Unit};
use crate::process::{CpuTime, Memory};
use crate::runs;

/// Long enough for what starts left over to be given back.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up()?;
    let number = runs("BENCH_CROWD", 20);
    let (single_wall, single_cpu) = single(&host)?;
    let before = settled(&host)?;
    let start = Instant::now();
    let cpu = crowd(&host, number)?;
    let wall = start.elapsed().as_secs_f64();
    let after = settled(&host)?;
    let fair = f64::from(number) * single_wall / cores() as f64;
    let worst = cpu.iter().copied().fold(0.0, f64::max);
    let each = |of: fn(&Memory) -> f64| (of(&after) - of(&before)) / f64::from(number);
    Ok(vec![
        Figure::new(
            "crowd-wall",
            "20 VMs at once, until each has run ssh true; by a fair share of the cores",
            Unit::Seconds,
            &[wall],
        )
        .at_most(1.3)
        .against("20 × one alone / cores", &[(wall, fair)]),
        Figure::new(
            "crowd-cpu",
            "QEMU's processor time of each of 20 VMs up to its ssh true",
            Unit::Seconds,
            &cpu,
        ),
        Figure::new(
            "crowd-worst-cpu",
            "the same of the worst, by that of one alone",
            Unit::Seconds,
            &[worst],
        )
        .at_most(2.0)
        .against("alone", &[(worst, single_cpu)]),
        Figure::new(
            "pitwall-per-vm",
            "memory in pitwall for each of 20 VMs, resident",
            Unit::Kibibytes,
            &[each(|memory| memory.resident)],
        )
        // 150 KB.
        .at_most(150_000.0 / 1024.0),
    ])
}

/// The middle of three starts alone: wall, and processor time of QEMU.
fn single(host: &Host) -> Result<(f64, f64), BenchError> {
    // The first pulls the image.
    let starts = (0..=3).map(|number| {
        let name = host.vm_name(format!("single-{number}"));
        let start = ours(host, &name)?;
        host.pwctl(&["rm", &name, "--quiet"])?;
        Ok((start.cost.wall, start.vmm))
    });
    let starts = starts.collect::<Result<Vec<(f64, f64)>, BenchError>>()?;
    let middle = |of: fn(&(f64, f64)) -> f64| {
        let mut samples: Vec<f64> = starts.iter().skip(1).map(of).collect();
        samples.sort_by(f64::total_cmp);
        samples.get(1).copied().unwrap_or(f64::NAN)
    };
    Ok((middle(|start| start.0), middle(|start| start.1)))
}

/// Creates so many at once; gives the processor time of each one's QEMU when its `ssh … true` has ended.
fn crowd(host: &Host, number: u32) -> Result<Vec<f64>, BenchError> {
    let member = |number| {
        let name = host.vm_name(number);
        host.create(&name)?;
        host.pwctl(&["ssh", &name, "--", "true"])?;
        Ok(CpuTime::of(vmm(&name)?)?.own)
    };
    thread::scope(|scope| {
        let members: Vec<_> = (0..number)
            .map(|number| scope.spawn(move || member(number)))
            .collect();
        let ended = members.into_iter().map(|member| {
            member
                .join()
                .unwrap_or_else(|_| Err(BenchError::unreadable("a thread", "it panicked")))
        });
        ended.collect()
    })
}

/// The memory of pitwall when it has been left alone for a while.
fn settled(host: &Host) -> Result<Memory, BenchError> {
    let settled = Instant::now() + SETTLE;
    until("pitwall is idle", SETTLE * 2, || {
        Ok((Instant::now() >= settled).then_some(()))
    })?;
    Memory::of(host.pitwall_pid())
}
