//! The programs that people reach machines with, as judges: each does its ordinary work against the server on loopback,
//! and whoever wrote it decides what is right.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ansible;
mod editor;
mod files;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::Server;
use crate::support;

/// A server, and an ssh_config(5) that calls it `vm`.
struct Judged {
    server: Server,
    config: PathBuf,
}

impl Judged {
    /// `None` where a program is missing.
    fn start(programs: &[&str], files: &[&Path]) -> Option<Self> {
        if !support::available(programs, files) {
            return None;
        }
        let server = Server::start()?;
        // It writes the known hosts.
        let _ = server.client();
        let folder = server.folder.path();
        let config = folder.join("vm.config");
        let text = format!(
            "Host vm\nHostName 127.0.0.1\nPort {}\nUser root\nIdentityFile {}\nUserKnownHostsFile {}\n\
             IdentitiesOnly yes\nBatchMode yes\nStrictHostKeyChecking yes\nLogLevel ERROR\n",
            server.port,
            server.key.path().display(),
            folder.join("known_hosts").display()
        );
        std::fs::write(&config, text).unwrap();
        Some(Self { server, config })
    }

    fn folder(&self) -> &Path {
        self.server.folder.path()
    }

    /// For programs that start `ssh` themselves.
    fn ssh_words(&self) -> String {
        format!("ssh -F {}", self.config.display())
    }
}

/// A program of the Python environment that scripts/ssh-clients makes.
fn venv(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/venv/bin")
        .join(program)
}

/// A file beside this one.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// What a program says; it must succeed.
fn said_by(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {text}");
    text
}
