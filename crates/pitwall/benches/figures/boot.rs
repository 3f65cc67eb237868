//! From the wish for a VM to the end of the first `ssh … true`, its image cached, against the least that could be done.
//!
//! In turns: `pwctl create` and `pwctl ssh … true`; then the same QEMU with the same words, kernel, initramfs, image,
//! an equal empty disk, a TAP and bridge of the same names and an equal configuration, started by hand in a namespace
//! of its own, and the same ssh command. The second does not count the making of disk and TAP; the first does.

use std::time::Instant;

use crate::direct::{Recipe, Stage};
use crate::error::BenchError;
use crate::host::{Host, run};
use crate::measure::{Figure, Unit};
use crate::process::{CpuTime, arguments, vmm_of};
use crate::{runs, say};

/// What a start costs, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// What a start of ours costs, and whose processor time that is.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) cost: Cost,
    pub(crate) vmm: f64,
    /// Of pitwall and all that it ran.
    pub(crate) pitwall: f64,
    /// Of pwctl and ssh.
    pub(crate) commands: f64,
    /// QEMU's command line.
    pub(crate) words: Vec<String>,
}

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up()?;
    let stage = Stage::new()?;
    // The first pair pulls the image, makes the disk template and fills the page cache; it does not count.
    pair(&host, &stage, 0)?;
    let pairs = (1..=runs("BENCH_PAIRS", 7)).map(|number| pair(&host, &stage, number));
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let figure = |name, what, of: fn(&Cost) -> f64| {
        let both: Vec<(f64, f64)> = pairs
            .iter()
            .map(|(ours, theirs)| (of(ours), of(theirs)))
            .collect();
        let ours: Vec<f64> = both.iter().map(|pair| pair.0).collect();
        Figure::new(name, what, Unit::Seconds, &ours)
            .at_most(1.25)
            .against("by hand", &both)
    };
    Ok(vec![
        figure("boot-wall", "create to the end of the first ssh, wall", |cost| {
            cost.wall
        }),
        figure("boot-cpu", "the same, processor time of all processes", |cost| {
            cost.cpu
        }),
    ])
}

fn pair(host: &Host, stage: &Stage, number: u32) -> Result<(Cost, Cost), BenchError> {
    let name = host.vm_name(number);
    let ours = ours(host, &name)?.cost;
    let recipe = Recipe::of(host, &name)?;
    host.pwctl(&["rm", &name, "--quiet"])?;
    let theirs = stage.start(host, &recipe)?;
    say(&format!(
        "  pair {number}: {:.2} s and {:.2} CPU s; by hand {:.2} s and {:.2} CPU s",
        ours.wall, ours.cpu, theirs.wall, theirs.cpu
    ));
    Ok((ours, theirs))
}

/// As a person does it.
pub(crate) fn ours(host: &Host, name: &str) -> Result<Start, BenchError> {
    let pitwall_before = CpuTime::of(host.pitwall_pid())?.total();
    let commands_before = CpuTime::of_commands()?;
    let start = Instant::now();
    host.create(name)?;
    host.pwctl(&["ssh", name, "--", "true"])?;
    let wall = start.elapsed().as_secs_f64();
    let pid = vmm(name)?;
    let vmm = CpuTime::of(pid)?.own;
    let pitwall = CpuTime::of(host.pitwall_pid())?.total() - pitwall_before;
    let commands = CpuTime::of_commands()? - commands_before;
    let cpu = vmm + pitwall + commands;
    Ok(Start {
        cost: Cost { wall, cpu },
        vmm,
        pitwall,
        commands,
        words: arguments(pid).unwrap_or_default(),
    })
}

/// The process of a VM's VMM, found without asking pitwall: that would be counted.
pub(crate) fn vmm(name: &str) -> Result<u32, BenchError> {
    vmm_of(&format!("guest={name}"))?
        .ok_or_else(|| BenchError::unreadable("the process table", "no VMM of the VM"))
}

/// The id of a VM, which names its folders.
pub(crate) fn vm_id(host: &Host, name: &str) -> Result<String, BenchError> {
    let text = host.pwctl(&["get", name, "--json"])?;
    let vm: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| BenchError::unreadable("a VM", text.clone()))?;
    let id = vm["id"]
        .as_str()
        .ok_or_else(|| BenchError::unreadable("a VM", text.clone()))?;
    Ok(id.to_owned())
}

/// Runs `true` in a VM once more, by the line that people paste; gives that line too.
pub(crate) fn line(host: &Host, name: &str) -> Result<String, BenchError> {
    let line = host.pwctl(&["ssh-command", name])?;
    run(&mut host.ssh(&line, "true"))?;
    Ok(line)
}
