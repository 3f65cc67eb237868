//! The service's control group (Documentation/admin-guide/cgroup-v2): everything that it started, and nothing else.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

const GROUP: &str = "/sys/fs/cgroup/service";

/// The way into the group, for a process that writes `0` to it; `None` on a kernel without control groups.
pub(super) fn entrance() -> Option<OwnedFd> {
    // It is there from the second start on.
    let _ = fs::create_dir(GROUP);
    let procs = File::options()
        .write(true)
        .open(Path::new(GROUP).join("cgroup.procs"));
    procs.ok().map(OwnedFd::from)
}

/// Kills whatever is still in it, since Linux 5.14.
pub(super) fn kill_rest() {
    let _ = fs::write(Path::new(GROUP).join("cgroup.kill"), "1");
}
