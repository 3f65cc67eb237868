//! One connection of the real client that others go through (`ControlMaster`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::ssh::Client;
use crate::support::wait_for;

/// Ends with its test.
pub(crate) struct Master {
    client: Client,
    path: PathBuf,
    login: String,
    child: Child,
}

impl Master {
    pub(crate) fn start(client: Client, login: &str, options: &[&str]) -> Self {
        let path = client.folder.join(format!("master-{login}"));
        let mut command = client.command_as(login, options);
        let child = command
            .args(["-M", "-N", "-S"])
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut master = Self {
            client,
            path,
            login: login.to_owned(),
            child,
        };
        wait_for("the master connection", Duration::from_secs(20), || {
            assert!(master.child.try_wait().unwrap().is_none(), "the master ended");
            master.path.exists().then_some(())
        });
        master
    }

    /// `ssh OPTIONS` through this connection; the command comes behind it.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let path = format!("ControlPath={}", self.path.display());
        // A client that is refused a session would quietly make a connection of its own.
        let mut all = vec![
            "-o",
            path.as_str(),
            "-o",
            "ControlMaster=no",
            "-o",
            "ProxyCommand=false",
        ];
        all.extend(options);
        self.client.command_as(&self.login, &all)
    }

    /// `ssh -O WORD OPTIONS`.
    pub(crate) fn control(&self, word: &str, options: &[&str]) -> Output {
        let mut all = vec!["-O", word];
        all.extend(options);
        self.command(&all).output().unwrap()
    }

    /// Ends the connection as an interrupted client does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
