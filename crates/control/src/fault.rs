//! The place where a test stops this process, to kill it there. A release build has none.

/// Names a file. Where it is set, a process that has committed a change somebody asked for makes that file and goes no
/// further.
#[cfg(debug_assertions)]
const STOPS_COMMITTED: &str = "PITWALL_FAULT_STOPS_COMMITTED";

/// A change that somebody asked for is committed, and nobody has heard of it.
#[cfg(debug_assertions)]
pub(crate) fn committed() {
    let Some(file) = std::env::var_os(STOPS_COMMITTED) else {
        return;
    };
    if let Err(error) = std::fs::write(file, b"") {
        tracing::error!(%error, "the file of a fault point cannot be made");
        return;
    }
    loop {
        std::thread::park();
    }
}

/// A change that somebody asked for is committed, and nobody has heard of it.
#[cfg(not(debug_assertions))]
pub(crate) const fn committed() {}
