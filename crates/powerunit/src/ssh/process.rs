//! Starts a session's program as the account it belongs to.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::accounts::Account;
use super::words;
use crate::launch::{self, Setting};

/// What the client wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    Shell,
    Command(Vec<u8>),
    /// Our own server of files, which needs nothing of the image.
    Sftp,
}

/// This program, also where the image shows no file of it, and to a user who could not reach that file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A program and its arguments; `argv[0]` may differ from the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

/// A task that no program of the image can do; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlan {
    #[error("this image has no shell; run a program of it with: ssh … /path/of/program")]
    NoShell,
    #[error("this image has no shell, and the command is empty or leaves a quote open")]
    NoWords,
}

/// Pure: how to do a task with the shell the image has, or without one.
pub(super) fn plan(task: &Task, shell: Option<&Path>) -> Result<Plan, NoPlan> {
    match (task, shell) {
        (Task::Sftp, _) => Ok(Plan {
            path: OWN_PROGRAM.into(),
            name: "powerunit".into(),
            arguments: vec!["sftp".into()],
        }),
        (Task::Shell, None) => Err(NoPlan::NoShell),
        (Task::Shell, Some(shell)) => {
            let mut name = OsString::from("-");
            name.push(base(shell));
            Ok(Plan {
                path: shell.to_owned(),
                name,
                arguments: Vec::new(),
            })
        }
        (Task::Command(command), Some(shell)) => {
            let command = OsStr::from_bytes(command).to_owned();
            Ok(Plan {
                path: shell.to_owned(),
                name: base(shell).to_owned(),
                arguments: vec!["-c".into(), command],
            })
        }
        (Task::Command(command), None) => {
            let words = words::split(&String::from_utf8_lossy(command)).ok_or(NoPlan::NoWords)?;
            let mut words = words.into_iter().map(OsString::from);
            let program = words.next().ok_or(NoPlan::NoWords)?;
            Ok(Plan {
                path: PathBuf::from(&program),
                name: program,
                arguments: words.collect(),
            })
        }
    }
}

fn base(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

/// Starts it in a session of its own, with pipes or on this terminal.
pub(super) fn start(
    plan: &Plan,
    account: &Account,
    environment: BTreeMap<OsString, OsString>,
    terminal: Option<OwnedFd>,
) -> io::Result<Child> {
    let mut command = std::process::Command::new(&plan.path);
    command
        .arg0(&plan.name)
        .args(&plan.arguments)
        .env_clear()
        .envs(environment)
        .current_dir("/");
    let on_terminal = terminal.is_some();
    match terminal {
        Some(inside) => {
            command
                .stdin(inside.try_clone()?)
                .stdout(inside.try_clone()?)
                .stderr(inside);
        }
        None => {
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        }
    }
    let setting = Setting {
        on_terminal,
        home: CString::new(account.home.as_os_str().as_bytes()).ok(),
        ..Setting::default()
    };
    launch::enter(&mut command, account, setting);
    Command::from(command).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_the_command_as_one_argument() {
        let shell = Path::new("/bin/bash");
        let run = plan(&Task::Command(b"echo \"$HOME\"".to_vec()), Some(shell)).unwrap();
        assert_eq!(
            (run.name, run.arguments),
            ("bash".into(), vec!["-c".into(), "echo \"$HOME\"".into()])
        );
        let login = plan(&Task::Shell, Some(shell)).unwrap();
        assert_eq!((login.name, login.arguments), ("-bash".into(), vec![]));
    }

    #[test]
    fn without_a_shell_a_path_still_runs_and_a_shell_is_explained() {
        let run = plan(&Task::Command(b"/program 'a b'".to_vec()), None).unwrap();
        assert_eq!(
            (run.path, run.arguments),
            (PathBuf::from("/program"), vec!["a b".into()])
        );
        assert_eq!(plan(&Task::Shell, None), Err(NoPlan::NoShell));
        assert_eq!(plan(&Task::Command(b"'".to_vec()), None), Err(NoPlan::NoWords));
        assert_eq!(plan(&Task::Command(vec![]), None), Err(NoPlan::NoWords));
    }
}
