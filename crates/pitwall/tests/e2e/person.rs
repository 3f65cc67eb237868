//! Somebody with an account: signed in as people are, with contexts of their own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::env::{Host, built, run, text};

/// Where pitwall answers in a test's namespace.
pub(crate) const SERVER: &str = "http://127.0.0.1:7480";

/// A member, with a configuration directory and a key pair.
pub(crate) struct Person<'a> {
    host: &'a Host,
    home: TempDir,
    code: String,
}

impl<'a> Person<'a> {
    /// Makes an account and signs in to it, with the code that `pwctl user create` prints.
    pub(crate) fn new(host: &'a Host, name: &str) -> Self {
        let code = host.pwctl_ok(&["user", "create", name]).trim().to_owned();
        let home = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
        let person = Self { host, home, code };
        key_pair(&person.key());
        person.sign_in();
        person
    }

    /// Types the code on a terminal.
    fn sign_in(&self) {
        let code = self.code();
        let mut command = self.host.command("script");
        let line = format!("{} login {SERVER}", built("pwctl"));
        command
            .args(["-qec", &line, "/dev/null"])
            .env("XDG_CONFIG_HOME", self.home.path())
            .env_remove("PITWALL_CONTEXT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shown = Vec::new();
        // What is typed before the question is dropped.
        while !shown.ends_with(b": ") {
            let mut byte = [0];
            let count = screen.read(&mut byte).unwrap();
            assert_eq!(count, 1, "no question: {}", String::from_utf8_lossy(&shown));
            shown.extend(byte);
        }
        writeln!(keyboard, "{code}").unwrap();
        screen.read_to_end(&mut shown).unwrap();
        let shown = String::from_utf8_lossy(&shown);
        assert!(child.wait().unwrap().success(), "{shown}");
        assert!(!shown.contains(code), "the code is shown: {shown}");
    }

    /// The one-time code that this person signed in with.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Where the contexts are kept.
    pub(crate) fn contexts(&self) -> PathBuf {
        self.home.path().join("pitwall/config.toml")
    }

    /// The private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.home.path().join("id_ed25519")
    }

    /// `pwctl` with what it printed.
    pub(crate) fn pwctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.host.pwctl_command(arguments);
        command
            .env("XDG_CONFIG_HOME", self.home.path())
            .env_remove("PITWALL_STATE")
            .env_remove("PITWALL_CONTEXT");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// `pwctl` that must succeed; gives its standard output.
    pub(crate) fn pwctl_ok(&self, arguments: &[&str]) -> String {
        let output = self.pwctl(arguments);
        assert!(output.status.success(), "pwctl {arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Makes a key pair.
pub(crate) fn key_pair(file: &Path) {
    let file = file.display().to_string();
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file]);
}
