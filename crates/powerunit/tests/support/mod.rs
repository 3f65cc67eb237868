//! What the tests of powerunit share: keys, the `ssh` client, and a way to skip with a reason.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

pub(crate) mod ssh;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether everything is there; says what is not, and fails instead of skipping where CI=true.
pub(crate) fn available(programs: &[&str], files: &[&Path]) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let missing_program = programs
        .iter()
        .find(|program| {
            let mut places = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
            !places.any(|folder| folder.join(program).is_file())
        })
        .map(|program| format!("the program {program}"));
    let missing_file = files
        .iter()
        .find(|file| !file.exists())
        .map(|file| format!("{}", file.display()));
    let Some(missing) = missing_program.or(missing_file) else {
        return true;
    };
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{missing} is missing"
    );
    eprintln!("skipped: {missing} is missing");
    false
}

/// Waits until the condition gives something.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
