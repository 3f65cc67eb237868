//! How many files a process may open.
//!
//! The kernel starts PID 1 with a hard limit of 4096, which databases and container engines outgrow. As in other Linux
//! systems everybody may raise the limit far, and starts with 1024: programs that still use select(2) break above.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SOFT: u64 = 1024;
const HARD: u64 = 1 << 20;

/// What PID 1 takes and every process inherits.
pub(crate) fn set_for_everyone() {
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(SOFT),
            maximum: Some(HARD),
        },
    );
}

/// What the SSH server takes: many sessions hold many pipes.
pub(crate) fn raise_own() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

/// What a session starts with; only makes a system call, so it may run between fork and exec.
pub(crate) fn lower_for_session() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map_or(SOFT, |maximum| maximum.min(SOFT));
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum,
        },
    );
}
