//! Starts a program of the image: as which user, where, with which environment, and free of its starter.
//!
//! Always holds: a program runs as the user that was named, in a session and process group of its own, with the
//! limits of an ordinary process, no signal blocked, and with no descriptor but the three it is given.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::fs::{Access, FileType, access, fchown, fstat};
use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::accounts::{Account, Database, NoAccount};

/// Where an image that says nothing keeps its programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of the image and how it is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    /// The program and its arguments; without a slash it is looked for in `PATH`.
    pub(crate) arguments: &'a [String],
    /// `NAME=value` each; a later one wins.
    pub(crate) env: &'a [String],
    /// An absolute path, made where it is missing; empty means the root.
    pub(crate) working_dir: &'a str,
    /// As in an image's configuration.
    pub(crate) user: &'a str,
}

/// What a program gets beside its descriptors.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    /// Its standard input is the terminal of its session.
    pub(crate) on_terminal: bool,
    /// The file `cgroup.procs` of the group it runs in.
    pub(crate) cgroup: Option<OwnedFd>,
    /// It is killed when the thread that started it ends.
    pub(crate) dies_with_starter: bool,
    /// Where it begins, if the account can go there; else it stays where the command says.
    pub(crate) home: Option<CString>,
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("no program is named")]
    Nothing,
    #[error(transparent)]
    Account(#[from] NoAccount),
    #[error("cannot use the working directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("there is no program {program} in {path}")]
    NotInPath { program: String, path: String },
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("cannot make the program's input and output")]
    Plumbing(#[source] io::Error),
}

impl Program<'_> {
    /// The command, complete but for its three descriptors and [`enter`], and who it runs as.
    pub(crate) fn command(&self) -> Result<(Command, Account), NotStarted> {
        let (program, arguments) = self.arguments.split_first().ok_or(NotStarted::Nothing)?;
        let account = Database::read().find(self.user)?;
        let environment = environment(self.env, &account);
        let directory = directory(self.working_dir)?;
        let path = locate(program, environment.get(OsStr::new("PATH")))?;
        let mut command = Command::new(path);
        command
            .arg0(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(directory);
        Ok((command, account))
    }

    /// Why the finished command did not start. The kernel's "no such file" may also mean a script's interpreter.
    pub(crate) fn not_run(&self, source: io::Error) -> NotStarted {
        NotStarted::Run {
            program: self.arguments.first().cloned().unwrap_or_default(),
            source,
        }
    }
}

/// Pure: the image's variables, over those that every program may count on.
fn environment(env: &[String], account: &Account) -> BTreeMap<OsString, OsString> {
    let mut all = BTreeMap::from([
        ("PATH".into(), PATH.into()),
        ("HOME".into(), account.home.clone().into()),
    ]);
    let given = env.iter().filter_map(|line| line.split_once('='));
    all.extend(given.map(|(name, value)| (name.into(), value.into())));
    all
}

fn directory(path: &str) -> Result<PathBuf, NotStarted> {
    let path = PathBuf::from(if path.is_empty() { "/" } else { path });
    match std::fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(NotStarted::Directory { path, source }),
    }
}

/// As execvp(3) does, but before the fork, so that the answer can be a sentence.
fn locate(program: &str, path: Option<&OsString>) -> Result<PathBuf, NotStarted> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let path = path.map_or(OsStr::new(PATH), OsString::as_os_str);
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let found = std::env::split_paths(path)
        .map(|folder| Path::new("/").join(folder).join(program))
        .find(runs);
    found.ok_or_else(|| NotStarted::NotInPath {
        program: program.to_owned(),
        path: path.to_string_lossy().into_owned(),
    })
}

/// Makes the command leave its starter's session and become the account. Not `Command::uid` and `gid`: those drop
/// every supplementary group.
pub(crate) fn enter(command: &mut Command, account: &Account, setting: Setting) {
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    // Outside a VM, in tests, we serve whoever started us and nobody else.
    let may_change = rustix::process::geteuid().is_root();
    let in_child = move || -> io::Result<()> {
        // A mask outlives exec (signal(7)), and PID 1 blocks everything.
        SigSet::empty().thread_set_mask()?;
        setsid()?;
        crate::limits::lower_for_session();
        if let Some(group) = &setting.cgroup {
            // A kernel without cgroups, or without room in one, still runs the program.
            let _ = rustix::io::write(group, b"0");
        }
        if setting.on_terminal {
            ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        if may_change {
            become_user(&groups, uid, gid)?;
        }
        if let Some(home) = &setting.home {
            // With the account's rights; one without a home, or without a way into it, still gets its program.
            let _ = rustix::process::chdir(home.as_c_str());
        }
        if setting.dies_with_starter {
            // After the change of user, which clears it (prctl(2)).
            set_parent_process_death_signal(Some(Signal::KILL))?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "std offers no supplementary groups and no controlling terminal"
    )]
    // SAFETY: the closure runs between fork and exec and only makes system calls: rustix issues them directly,
    // pthread_sigmask(3) may be called there (signal-safety(7)), nothing takes a lock, and neither they nor the captured
    // values allocate. The child has one thread, so changing the ids of the thread changes those of the process.
    unsafe {
        command.pre_exec(in_child);
    }
}

/// Only makes system calls.
fn become_user(groups: &[Gid], uid: Uid, gid: Gid) -> io::Result<()> {
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        // Whose pipes they are decides who may open /dev/stdout. What is no pipe, such as /dev/null, is everybody's.
        if FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo {
            fchown(stream, Some(uid), Some(gid))?;
        }
    }
    set_thread_groups(groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Account {
        Account {
            name: "ann".into(),
            uid: 1,
            gid: 1,
            groups: vec![],
            home: PathBuf::from("/home/ann"),
            shell: PathBuf::from("/bin/sh"),
        }
    }

    #[test]
    fn the_image_may_set_the_home_and_the_path() {
        let get = |env: &[&str], name: &str| {
            let env: Vec<String> = env.iter().map(|&line| line.to_owned()).collect();
            let all = environment(&env, &ann());
            all.get(OsStr::new(name))
                .map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(get(&[], "PATH").as_deref(), Some(PATH));
        assert_eq!(get(&[], "HOME").as_deref(), Some("/home/ann"));
        assert_eq!(get(&["HOME=/srv"], "HOME").as_deref(), Some("/srv"));
        assert_eq!(get(&["A=1", "A=2=3"], "A").as_deref(), Some("2=3"));
        assert_eq!(get(&["no assignment"], "no assignment"), None);
    }

    #[test]
    fn a_program_without_a_slash_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path: OsString = format!("/nowhere:{}", folder.path().display()).into();
        let said = locate("tool", Some(&path)).unwrap_err().to_string();
        assert_eq!(
            said,
            format!("there is no program tool in {}", path.to_string_lossy())
        );
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(locate("tool", Some(&path)).unwrap(), file);
        assert_eq!(locate("./x", Some(&path)).unwrap(), Path::new("./x"));
    }
}
