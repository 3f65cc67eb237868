//! A terminal for a command, from script(1), with a person before it who types nothing.
//!
//! Where its own input has ended, script types an end of file, which in a raw terminal is a NUL that the far side
//! echoes in between what it prints. So its input stays open until it ends.

use std::process::{Command, Output, Stdio};

/// What a line of shell prints on a terminal; its status is the line's.
pub(crate) fn on_a_terminal(line: &str) -> Output {
    let mut script = Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .env("TERM", "vt220")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let person = script.stdin.take();
    let output = script.wait_with_output().unwrap();
    drop(person);
    output
}
