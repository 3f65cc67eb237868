//! What the guest's init costs: its program, and its two processes in an idle VM.

use crate::boot::line;
use crate::error::BenchError;
use crate::host::{Host, run, target};
use crate::measure::{Figure, Unit};
use crate::process::Memory;

/// Prints the memory of PID 1, an empty line, and that of the SSH server, its child.
const LOOK: &str = "cat /proc/1/smaps_rollup; echo; cat /proc/$(pgrep -o -x powerunit-ssh)/smaps_rollup";

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up()?;
    host.create("bench")?;
    let line = line(&host, "bench")?;
    let text = run(&mut host.ssh(&line, LOOK))?;
    let (init, server) = text
        .split_once("\n\n")
        .ok_or_else(|| BenchError::unreadable("smaps_rollup", text.clone()))?;
    let (init, server) = (Memory::parse(init)?, Memory::parse(server)?);
    let figure = |name, what, kib| Figure::new(name, what, Unit::Kibibytes, &[kib]);
    Ok(vec![
        figure("powerunit-size", "the program in the initramfs", size()?),
        figure("powerunit-rss", "PID 1 of an idle VM, resident", init.resident),
        figure(
            "powerunit-ssh-rss",
            "its SSH server, resident, while one session runs",
            server.resident,
        ),
        figure(
            "powerunit-pss",
            "both, proportional",
            init.proportional + server.proportional,
        ),
    ])
}

/// In KiB, as the bundle says.
fn size() -> Result<f64, BenchError> {
    let path = target().join("bundle/bundle.json");
    let text = std::fs::read_to_string(path).map_err(BenchError::io("read the bundle's description"))?;
    let bundle: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| BenchError::unreadable("bundle.json", text.clone()))?;
    let bytes = bundle["powerunit"]["bytes"].as_f64();
    bytes
        .map(|bytes| bytes / 1024.0)
        .ok_or_else(|| BenchError::unreadable("bundle.json", text))
}
