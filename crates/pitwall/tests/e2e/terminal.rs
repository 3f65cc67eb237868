//! A terminal for a command of a test, from script(1), with a person before it who types nothing.

use std::process::Stdio;

use crate::env::{Host, quote, text};

/// The status of a line of shell on a terminal, and what it prints there.
///
/// script's own input stays open until it ends: at its end script would hang the line up, or type a NUL into it.
pub(crate) fn on_a_terminal(host: &Host, line: &str) -> String {
    let mut bash = host.command("bash");
    bash.args(["-c", &format!("script -qec {} /dev/null", quote(line))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut session = bash.spawn().unwrap();
    let person = session.stdin.take();
    let output = session.wait_with_output().unwrap();
    drop(person);
    text(&output)
}
