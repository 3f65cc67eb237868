//! What a VM adds to the host's disk: the blocks of its folder (an upper disk of 2 GiB, its record, its host key).

use std::time::{Duration, Instant};

use model::ByteSize;

use crate::boot::vm_id;
use crate::error::BenchError;
use crate::host::{Host, INTERRUPTED};
use crate::measure::{Figure, Unit};
use crate::process::allocated;
use crate::runs;

/// The size that a VM gets when nobody asks for another.
const SIZE: ByteSize = ByteSize::from_mib(2048);

const LIMIT_KIB: f64 = 256.0;

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let made = made()?;
    let host = Host::up()?;
    host.create("bench")?;
    let folder = host.state().join("host/vms").join(vm_id(&host, "bench")?);
    let booted = allocated(&folder)?;
    let seconds = runs("BENCH_IDLE_SECONDS", 600);
    idle(Duration::from_secs(seconds.into()))?;
    let idled = allocated(&folder)?;
    let extra = |name, what, kib| Figure::new(name, what, Unit::Kibibytes, &[kib]).at_most(LIMIT_KIB);
    let what = match seconds {
        600 => "the same after 10 idle minutes",
        _ => "the same after a shorter idle time than promised",
    };
    Ok(vec![
        made,
        extra("disk-booted", "disk of a VM (2 GiB) once it is RUNNING", booted),
        extra("disk-idle", what, idled),
    ])
}

/// The time to make an empty disk, its size's template being there.
fn made() -> Result<Figure, BenchError> {
    let directory = tempfile::Builder::new().prefix("pwbench").tempdir();
    let directory = directory.map_err(BenchError::io("make a temporary directory"))?;
    let templates = directory.path().join("templates");
    let make = |number: u32| {
        let disk = directory.path().join(format!("{number}.ext4"));
        let start = Instant::now();
        orchestrator::make_disk(&templates, &disk, SIZE)?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    };
    make(0)?;
    let samples = (1..=runs("BENCH_DISKS", 50))
        .map(make)
        .collect::<Result<Vec<_>, BenchError>>()?;
    let what = "making and syncing a VM's disk (2 GiB)";
    Ok(Figure::new("disk-make", what, Unit::Milliseconds, &samples).at_most(5.0))
}

fn idle(length: Duration) -> Result<(), BenchError> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        if INTERRUPTED.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
