//! The real client, with keys and known hosts of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::run;

/// A key pair on disk.
pub(crate) struct KeyPair(PathBuf);

impl KeyPair {
    pub(crate) fn generate(folder: &Path, name: &str) -> Self {
        Self::of_kind(folder, name, &["ed25519"])
    }

    /// The kind is what `ssh-keygen -t` takes, and further options.
    pub(crate) fn of_kind(folder: &Path, name: &str, kind: &[&str]) -> Self {
        let path = folder.join(name);
        run(Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", name, "-t"])
            .args(kind)
            .arg("-f")
            .arg(&path));
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn private(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    pub(crate) fn public(&self) -> String {
        std::fs::read_to_string(self.0.with_extension("pub"))
            .unwrap()
            .trim()
            .to_owned()
    }
}

/// How to reach one server.
pub(crate) struct Client {
    pub(crate) folder: PathBuf,
    key: PathBuf,
    pub(crate) port: u16,
}

impl Client {
    /// Pins the host key: a server with another one is refused.
    pub(crate) fn new(folder: &Path, key: &KeyPair, host_key: &str, port: u16) -> Self {
        std::fs::write(
            folder.join("known_hosts"),
            format!("[127.0.0.1]:{port} {host_key}\n"),
        )
        .unwrap();
        std::fs::write(folder.join("config"), "").unwrap();
        Self {
            folder: folder.to_owned(),
            key: key.path().to_owned(),
            port,
        }
    }

    /// The same server with another key.
    pub(crate) fn with_key(&self, key: &KeyPair) -> Self {
        Self {
            folder: self.folder.clone(),
            key: key.path().to_owned(),
            port: self.port,
        }
    }

    /// `ssh OPTIONS fred@127.0.0.1`; the command comes behind it.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        self.command_as("fred", options)
    }

    pub(crate) fn command_as(&self, login: &str, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(self.folder.join("config"))
            .arg("-o")
            .arg(format!("IdentityFile={}", self.key.display()));
        command.arg("-o").arg(format!(
            "UserKnownHostsFile={}",
            self.folder.join("known_hosts").display()
        ));
        command.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ]);
        command.args([
            "-o",
            "ConnectTimeout=20",
            "-o",
            "LogLevel=ERROR",
            "-p",
            &self.port.to_string(),
        ]);
        command.args(options).arg(format!("{login}@127.0.0.1"));
        command
    }

    /// Runs a command there.
    pub(crate) fn run(&self, command: &str) -> Output {
        self.command(&[]).arg(command).output().unwrap()
    }

    /// What a command there prints; it must succeed.
    pub(crate) fn text(&self, command: &str) -> String {
        self.text_as("fred", command)
    }

    pub(crate) fn text_as(&self, login: &str, command: &str) -> String {
        let output = self.command_as(login, &[]).arg(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {:?} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}
