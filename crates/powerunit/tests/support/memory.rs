//! What a process holds in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// `VmRSS` of proc_pid_status(5).
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
