//! What PID 1 has to say when nobody may be listening: a line in the kernel's log and on the console.
//!
//! `quiet loglevel=0` keeps the kernel's log off the console, so problems go to both.

use std::fs::OpenOptions;
use std::io::Write;

/// A step, for the kernel's log only.
pub(super) fn note(text: &str) {
    // Priority 6, facility 3 (daemon): Documentation/ABI/testing/dev-kmsg.
    line("/dev/kmsg", &format!("<30>powerunit: {text}\n"));
}

/// Something that a person must see.
pub(super) fn problem(error: &dyn std::error::Error) {
    let text = super::error::chain(error);
    line("/dev/kmsg", &format!("<27>powerunit: {text}\n"));
    line("/dev/console", &format!("powerunit: {text}\n"));
}

fn line(path: &str, text: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open(path) {
        let _ = log.write_all(text.as_bytes());
    }
}
