//! Files through the SSH server on loopback, as `sftp`, `scp` and `sshfs` move them.

mod clients;
mod mounted;
mod packets;
mod raw;

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::ssh::Client;

/// `sftp`, `scp` and `sshfs` with the options of the `ssh` client.
trait FileClients {
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
        // Some write these two in their own way; all take what stands in ssh_config(5).
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
fn with(command: &str, path: &std::path::Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    [command.as_bytes(), b" \"", path.as_os_str().as_bytes(), b"\""].concat()
}
