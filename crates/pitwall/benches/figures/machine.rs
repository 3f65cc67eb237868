//! The kind of machine that figures are measured on: without it they mean nothing.

use std::fs;

use serde::Serialize;

use crate::error::BenchError;
use crate::host::Host;

/// The kind of machine that figures are measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    memory_mib: u64,
    cpu: String,
    /// What executes guest instructions.
    accelerator: String,
    /// Processes that wanted to run, on the mean of the minute before (proc_loadavg(5)): above a fraction of one, something
    /// else was at work too.
    load_before: f64,
}

impl Machine {
    pub(crate) fn look() -> Result<Self, BenchError> {
        let load = read("/proc/loadavg")?;
        let load_before = load
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| BenchError::unreadable("/proc/loadavg", load))?;
        let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Ok(Self {
            cores: cores(),
            memory_mib: kib / 1024,
            cpu: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".to_owned()),
            accelerator: accelerator()?,
            load_before,
        })
    }

    pub(crate) fn line(&self) -> String {
        let Self {
            cores,
            memory_mib,
            cpu,
            accelerator,
            load_before,
        } = self;
        format!(
            "{cores} cores of {cpu}, {memory_mib} MiB, VMs run with {accelerator}, load before {load_before}"
        )
    }
}

/// How many processors this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// What `pitwall doctor` says of it; a missing part of the host makes it fail, and is no matter here.
fn accelerator() -> Result<String, BenchError> {
    let host = Host::new()?;
    let output = host
        .pitwall(&["doctor", "--json"])
        .output()
        .map_err(BenchError::io("run pitwall doctor"))?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| BenchError::failed("pitwall doctor --json", &output))?;
    Ok(report["acceleration"].as_str().unwrap_or("unknown").to_owned())
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(BenchError::io(format!("read {path}")))
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}
