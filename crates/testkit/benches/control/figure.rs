//! A figure: its samples, what was promised, and how it is shown and kept.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use testkit::Fault;

/// The middle and the ends of some samples, and what 99 of 100 stay below.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) p99: f64,
    pub(crate) runs: usize,
}

impl Spread {
    /// Of no samples, it is not a number.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let runs = sorted.len();
        // The nearest rank: the smallest sample that so many of 100 do not exceed.
        let at = |percent: usize| {
            let rank = (runs * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
        };
        Self {
            median: at(50),
            min: at(0),
            max: at(100),
            p99: at(99),
            runs,
        }
    }
}

/// What others need for the same.
#[derive(Debug, Clone, Serialize)]
struct Peer {
    peer: &'static str,
    peer_median: f64,
    peer_min: f64,
    peer_max: f64,
    peer_p99: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Promise {
    /// What is held against it: the median, or what 99 of 100 stay below.
    value: f64,
    target: f64,
    kept: bool,
}

/// A figure and what was promised of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    figure: &'static str,
    what: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    pub(crate) spread: Spread,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    promise: Option<Promise>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    peer: Option<Peer>,
}

impl Figure {
    pub(crate) fn new(figure: &'static str, what: &'static str, unit: &'static str, samples: &[f64]) -> Self {
        Self {
            figure,
            what,
            unit,
            spread: Spread::of(samples),
            promise: None,
            peer: None,
        }
    }

    /// Of how long something took.
    pub(crate) fn of_times(figure: &'static str, what: &'static str, times: &[Duration]) -> Self {
        Self::new(figure, what, "ms", &milliseconds(times))
    }

    /// With what its median may be at most.
    pub(crate) fn at_most(self, target: f64) -> Self {
        let value = self.spread.median;
        self.promised(value, target)
    }

    /// With what 99 of 100 may be at most.
    pub(crate) fn p99_at_most(self, target: f64) -> Self {
        let value = self.spread.p99;
        self.promised(value, target)
    }

    fn promised(mut self, value: f64, target: f64) -> Self {
        let kept = value <= target;
        self.promise = Some(Promise { value, target, kept });
        self
    }

    /// Beside what others need for the same.
    pub(crate) fn beside(mut self, peer: &'static str, theirs: Spread) -> Self {
        self.peer = Some(Peer {
            peer,
            peer_median: theirs.median,
            peer_min: theirs.min,
            peer_max: theirs.max,
            peer_p99: theirs.p99,
        });
        self
    }

    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let Self {
            figure, unit, what, ..
        } = self;
        let Spread {
            median,
            min,
            max,
            p99,
            runs,
        } = self.spread;
        let mut line =
            format!("{figure:<18} {median:>9.2} {unit} [{min:.2} – {max:.2}; p99 {p99:.2}; {runs} samples]");
        if let Some(peer) = &self.peer {
            line += &format!(
                "; {} {:.2} {unit} [{:.2} – {:.2}; p99 {:.2}]",
                peer.peer, peer.peer_median, peer.peer_min, peer.peer_max, peer.peer_p99
            );
        }
        if let Some(Promise { value, target, kept }) = self.promise {
            let verdict = if kept { "kept" } else { "NOT KEPT" };
            line += &format!("; {value:.2}, at most {target:.2}: {verdict}");
        }
        format!("{line}  ({what})")
    }

    /// Keeps it as `DIRECTORY/FIGURE.json`, with the machine it was measured on.
    pub(crate) fn write(&self, directory: &Path, machine: &Machine) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Kept<'a> {
            #[serde(flatten)]
            figure: &'a Figure,
            machine: &'a Machine,
        }
        let kept = Kept {
            figure: self,
            machine,
        };
        let mut text = serde_json::to_string_pretty(&kept)?;
        text.push('\n');
        fs::create_dir_all(directory)?;
        fs::write(directory.join(self.figure).with_extension("json"), text)?;
        Ok(())
    }
}

pub(crate) fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1000.0).collect()
}

/// The kind of machine that figures are measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    memory_mib: u64,
    cpu: String,
    /// Processes that wanted to run, on the mean of the minute before (proc_loadavg(5)).
    load_before: f64,
}

impl Machine {
    pub(crate) fn look() -> Result<Self, Fault> {
        let load = fs::read_to_string("/proc/loadavg")?;
        let load_before = load.split(' ').next().unwrap_or_default().parse()?;
        let memory = field("/proc/meminfo", "MemTotal")?;
        let kib: u64 = memory.trim_end_matches(" kB").parse()?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: kib / 1024,
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".to_owned()),
            load_before,
        })
    }

    pub(crate) fn line(&self) -> String {
        let Self {
            cores,
            memory_mib,
            cpu,
            load_before,
        } = self;
        format!("{cores} cores of {cpu}, {memory_mib} MiB, load before {load_before}")
    }
}

/// A line `NAME: VALUE` of a file of the kernel.
pub(crate) fn field(path: &str, name: &str) -> Result<String, Fault> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    value.ok_or_else(|| format!("{path} has no {name}").into())
}
