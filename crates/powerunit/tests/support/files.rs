//! The clients that move files, with the options of the `ssh` client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::ssh::Client;

/// `sftp`, `scp` and `sshfs` for one server.
pub(crate) trait FileClients {
    /// Without the destination. `port` is the program's letter for it.
    fn tool(&self, program: &str, port: &str) -> Command;

    /// Runs these commands in one `sftp`, which stops at the first that fails.
    fn sftp(&self, login: &str, commands: &[&[u8]]) -> Output;

    /// The same, where all must succeed; returns what it printed.
    fn sftp_text(&self, login: &str, commands: &[&[u8]]) -> Vec<u8> {
        let output = self.sftp(login, commands);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        output.stdout
    }
}

impl FileClients for Client {
    fn tool(&self, program: &str, port: &str) -> Command {
        let ssh = self.command(&[]);
        let mut options: Vec<&OsStr> = ssh.get_args().collect();
        options.pop();
        // For the port each has a letter of its own; the other options are the same for all.
        let spelt = |option: &OsStr| match option.to_str() {
            Some("-p") => port.into(),
            _ => option.to_owned(),
        };
        let mut command = Command::new(program);
        command.args(options.into_iter().map(spelt));
        command
    }

    fn sftp(&self, login: &str, commands: &[&[u8]]) -> Output {
        let mut child = self
            .tool("sftp", "-P")
            .args(["-b", "-", &format!("{login}@127.0.0.1")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut batch = commands.join(&b'\n');
        batch.push(b'\n');
        // One that stopped early closes its input; its status says so.
        let _ = child.stdin.take().unwrap().write_all(&batch);
        child.wait_with_output().unwrap()
    }
}

/// A command of `sftp` with a path in it.
pub(crate) fn with(command: &str, path: &Path) -> Vec<u8> {
    [command.as_bytes(), b" \"", path.as_os_str().as_bytes(), b"\""].concat()
}
