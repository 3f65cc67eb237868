//! Libraries that programs are written with: paramiko and asyncssh. The scripts assert; here they are only run.

use std::process::Command;

use super::{Judged, beside, said_by, venv};

fn judge(script: &str) {
    let python = venv("python");
    let Some(judged) = Judged::start(&[], &[&python]) else {
        return;
    };
    let said = said_by(
        Command::new(python)
            .arg("-B")
            .arg(beside(script))
            .arg(judged.server.port.to_string())
            .arg(judged.server.key.path())
            .arg(judged.folder().join("known_hosts"))
            .arg(judged.folder()),
    );
    assert!(said.ends_with("all well\n"), "{said}");
}

#[test]
fn paramiko_is_content() {
    judge("with_paramiko.py");
}

#[test]
fn asyncssh_is_content() {
    judge("with_asyncssh.py");
}
