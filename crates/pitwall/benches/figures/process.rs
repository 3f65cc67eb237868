//! What processes cost, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::error::BenchError;

/// `USER_HZ`: the kernel shows times in hundredths of a second on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time in seconds (proc_pid_stat(5), fields 14 to 17).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// Of the process and its threads.
    pub(crate) own: f64,
    /// Of its children that have ended and that it has waited for, and theirs.
    pub(crate) children: f64,
}

impl CpuTime {
    pub(crate) fn of(pid: u32) -> Result<Self, BenchError> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).map_err(BenchError::io(format!("read {path}")))?;
        let fields: Option<Vec<f64>> = stat.rsplit_once(')').and_then(|(_, fields)| {
            let numbers = fields.split_ascii_whitespace().skip(11).take(4);
            numbers.map(|number| number.parse().ok()).collect()
        });
        match fields.as_deref() {
            Some([user, system, children_user, children_system]) => Ok(Self {
                own: (user + system) / TICKS_PER_SECOND,
                children: (children_user + children_system) / TICKS_PER_SECOND,
            }),
            _ => Err(BenchError::unreadable("/proc/PID/stat", stat)),
        }
    }

    /// Of all that this process has started and waited for.
    pub(crate) fn of_commands() -> Result<f64, BenchError> {
        Ok(Self::of(std::process::id())?.children)
    }

    pub(crate) fn total(self) -> f64 {
        self.own + self.children
    }
}

/// Memory in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All pages that are mapped and present.
    pub(crate) resident: f64,
    /// The same, each page divided by the number of processes that share it.
    pub(crate) proportional: f64,
    /// Those of the resident that are no file's.
    pub(crate) anonymous: f64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self, BenchError> {
        let path = format!("/proc/{pid}/smaps_rollup");
        Self::parse(&fs::read_to_string(&path).map_err(BenchError::io(format!("read {path}")))?)
    }

    /// Of a `smaps_rollup` (proc_pid_smaps(5)).
    pub(crate) fn parse(rollup: &str) -> Result<Self, BenchError> {
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
                .ok_or_else(|| BenchError::unreadable("smaps_rollup", rollup))
        };
        Ok(Self {
            resident: field("Rss:")?,
            proportional: field("Pss:")?,
            anonymous: field("Anonymous:")?,
        })
    }
}

/// The QEMU whose command line has this word.
pub(crate) fn vmm_of(word: &str) -> Result<Option<u32>, BenchError> {
    let names = |pid: &u32| {
        arguments(*pid).is_some_and(|words| {
            words.first().is_some_and(|program| program.contains("qemu")) && words.iter().any(|it| it == word)
        })
    };
    Ok(all()?.into_iter().find(names))
}

/// Every process.
pub(crate) fn all() -> Result<Vec<u32>, BenchError> {
    let entries = fs::read_dir("/proc").map_err(BenchError::io("list /proc"))?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.collect())
}

/// A process that ends with this value.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The words of a process's command line, while it runs.
pub(crate) fn arguments(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

/// Blocks that the file system gave to a folder and all in it, in KiB.
pub(crate) fn allocated(folder: &Path) -> Result<f64, BenchError> {
    use std::os::unix::fs::MetadataExt;
    let at = |operation: &str| BenchError::io(format!("{operation} {}", folder.display()));
    let metadata = folder.symlink_metadata().map_err(at("look at"))?;
    let mut kib = metadata.blocks() as f64 / 2.0;
    if metadata.is_dir() {
        for entry in fs::read_dir(folder).map_err(at("list"))? {
            kib += allocated(&entry.map_err(at("list"))?.path())?;
        }
    }
    Ok(kib)
}
