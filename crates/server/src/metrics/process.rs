//! What the kernel says of this process.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};

/// What the kernel says of this process; what it does not say is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: i64,
    pub(super) cpu_seconds: f64,
    pub(super) open_files: i64,
}

impl Process {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            resident_bytes: resident_bytes(&status).unwrap_or_default(),
            cpu_seconds: cpu_seconds(),
            open_files: i64::try_from(files).unwrap_or(i64::MAX),
        }
    }
}

/// `VmRSS` of proc(5), in bytes.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return 0.0;
    };
    let times = [usage.user_time(), usage.system_time()];
    times
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .iter()
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_somewhere_in_memory() {
        let process = Process::now();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(
            process.open_files >= 3 && process.cpu_seconds >= 0.0,
            "{process:?}"
        );
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("VmRSS:\t 12 pages\n"), None);
    }
}
