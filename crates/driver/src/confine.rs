//! What a VMM's process can see of the host, and who it is there. For a VMM that nothing else confines.
//!
//! ```text
//!   thread of ours ── namespaces of its own: mounts, processes, network, IPC, host name
//!        │            root directory: an empty file system, and the files that are shown in it
//!        └─ fork ── control groups, limits, owner, no new privileges ── exec ──► VMM
//! ```
//!
//! A shown file has the path that it has here, so a command line means the same inside and outside.
//!
//! What always holds:
//!
//! * All of it is done before the program's first instruction; where a part of it cannot be done there is no process.
//! * Nothing is mounted where anybody else sees it, so nothing is to be unmounted: the root ends with its last process.
//! * The owner can write the files that are shown to be written, and nothing else.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{Gid, Uid};

use crate::DriverError;

/// Open files of a VMM: a connection over the control channel takes one, a disk one.
pub(crate) const OPEN_FILES: u64 = 2048;

/// Of directories and empty files that others are mounted on.
const ROOT_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1m";

/// A root directory.
#[derive(Debug, Default)]
pub(crate) struct Root {
    /// The empty directory that it is mounted on.
    pub(crate) place: PathBuf,
    /// Files and directories to read. What is not there is not shown.
    pub(crate) read_only: Vec<PathBuf>,
    /// Files to write, which are the owner's.
    pub(crate) writable: Vec<PathBuf>,
    /// Device nodes, of which the owner gets one each.
    pub(crate) devices: Vec<PathBuf>,
}

/// Who a process is, and what it may take at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    /// The number of its user and its only group.
    pub(crate) owner: u32,
    /// Bytes of the largest file that it may write.
    pub(crate) largest_file: u64,
}

/// A process that sees a root of its own, as somebody without rights.
#[derive(Debug)]
pub(crate) struct Confinement {
    pub(crate) root: Root,
    pub(crate) rights: Rights,
}

/// A part of it that could not be done; it travels within an [`io::Error`], as what a start fails of.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub(crate) struct ConfineError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl From<ConfineError> for DriverError {
    fn from(error: ConfineError) -> Self {
        let ConfineError {
            operation,
            path,
            source,
        } = error;
        Self::Confine {
            operation,
            path,
            source,
        }
    }
}

fn failed<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> io::Error {
    let path = path.to_owned();
    move |error| {
        let source = error.into();
        io::Error::new(
            source.kind(),
            ConfineError {
                operation,
                path,
                source,
            },
        )
    }
}

/// Gives a file to an owner, who alone can open it from then on. One that others had before is theirs no more.
///
/// # Errors
/// When it is not there or cannot be given away.
pub(crate) fn give_away(file: &Path, owner: u32) -> Result<(), DriverError> {
    let given = chown(file, Some(owner), Some(owner))
        .and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o600)));
    given.map_err(|source| DriverError::Folder {
        operation: "give away the disk",
        path: file.to_owned(),
        source,
    })
}

impl Confinement {
    /// Confines the calling thread, and with it the processes that it starts. It is to do nothing else afterwards.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let namespaces = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        unshare(namespaces).map_err(failed("make namespaces for", &self.root.place))?;
        self.root.enter(self.rights.owner)
    }
}

impl Rights {
    /// Gives up all others, for good. Makes plain system calls only, so it may be done between fork and exec.
    pub(crate) fn take(self) -> io::Result<()> {
        for (resource, most) in [
            (Resource::Core, 0),
            (Resource::Nofile, OPEN_FILES),
            (Resource::Fsize, self.largest_file),
        ] {
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            rustix::process::setrlimit(resource, limit)?;
        }
        let (user, group) = (
            Uid::from_raw_unchecked(self.owner),
            Gid::from_raw_unchecked(self.owner),
        );
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        // The capabilities go with the last of the user numbers that was root's (capabilities(7)).
        rustix::thread::set_thread_res_uid(user, user, user)?;
        rustix::thread::set_no_new_privs(true)?;
        Ok(())
    }
}

impl Root {
    /// Makes it and moves into it. The calling thread's mount namespace is its own.
    fn enter(&self, owner: u32) -> io::Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)
            .map_err(failed("take apart the mounts of", Path::new("/")))?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        rustix::mount::mount("pitwall", &self.place, "tmpfs", flags, ROOT_OPTIONS)
            .map_err(failed("mount a root on", &self.place))?;
        for path in self.read_only.iter().filter(|path| path.exists()) {
            self.show(path, MountFlags::RDONLY)?;
        }
        for path in &self.writable {
            self.show(path, MountFlags::empty())?;
        }
        for path in &self.devices {
            self.make_device(path, owner)
                .map_err(failed("make the device", path))?;
        }
        self.move_in().map_err(failed("move into", &self.place))
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.place.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn show(&self, path: &Path, access: MountFlags) -> io::Result<()> {
        let place = self.inside(path);
        let is_link = path.is_symlink();
        prepare(path, &place).map_err(failed("make a place for", path))?;
        if is_link && place.is_symlink() {
            // What it leads to is shown under its own name.
            return Ok(());
        }
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | access;
        rustix::mount::mount_bind_recursive(path, &place)
            .and_then(|()| rustix::mount::mount_remount(&place, flags, ""))
            .map_err(failed("show", path))
    }

    fn make_device(&self, path: &Path, owner: u32) -> io::Result<()> {
        let place = self.inside(path);
        if let Some(above) = place.parent() {
            fs::create_dir_all(above)?;
        }
        let number = fs::metadata(path)?.rdev();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &place, FileType::CharacterDevice, mode, number)?;
        chown(place, Some(owner), Some(owner))
    }

    /// Makes it the root, and the one before unreachable: pivot_root(2) puts that on top, whence it is unmounted.
    fn move_in(&self) -> io::Result<()> {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
        rustix::mount::mount_remount(&self.place, flags, "")?;
        std::env::set_current_dir(&self.place)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")
    }
}

/// Makes what something can be mounted on, or a link to where it is. It may be there, within what is shown already.
fn prepare(path: &Path, place: &Path) -> io::Result<()> {
    if let Some(above) = place.parent() {
        fs::create_dir_all(above)?;
    }
    let made = match fs::read_link(path) {
        // Such as /lib, where it is a part of /usr.
        Ok(target) if path.is_dir() => symlink(target, place),
        Ok(_) | Err(_) if path.is_dir() => fs::create_dir(place),
        Ok(_) | Err(_) => File::create_new(place).map(drop),
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use model::{ReasonCode, VmId};

    use super::*;
    use crate::folder::Folder;
    use crate::launch::Launch;

    const OWNER: u32 = 0x7000_00ff;

    /// What a shell that is confined to this root prints; none where that needs more rights than the test has.
    async fn told(directory: &Path, root: Root, script: &str) -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "confining needs root");
            println!("skipped: confining needs root");
            return None;
        }
        let place = directory.join("place");
        fs::create_dir(&place).unwrap();
        let mut root = Root { place, ..root };
        root.read_only
            .extend(["/usr", "/lib", "/lib64", "/bin", "/nowhere"].map(PathBuf::from));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear();
        let log = directory.join("log");
        let rights = Rights {
            owner: OWNER,
            largest_file: 1 << 20,
        };
        let launch = Launch {
            confinement: Some(Confinement { root, rights }),
            ..Launch::new(command, log.clone())
        };
        launch.spawn().unwrap().ended().await;
        Some(fs::read_to_string(log).unwrap())
    }

    #[tokio::test]
    async fn a_confined_process_is_nobody_anywhere_and_writes_its_own_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let [own, shared] = ["own", "shared"].map(|name| directory.path().join(name));
        for file in [&own, &shared] {
            fs::write(file, "content\n").unwrap();
        }
        fs::set_permissions(&shared, Permissions::from_mode(0o666)).unwrap();
        give_away(&own, OWNER).unwrap();
        let root = Root {
            read_only: vec![shared.clone()],
            writable: vec![own.clone()],
            devices: vec!["/dev/null".into()],
            ..Root::default()
        };
        let script = format!(
            "id -u; id -G; cat {shared}; echo written > {own}; echo $?; exec 2>/dev/null; \
             (echo x > {shared}); echo $?; (echo x > /new); echo $?; ls /; ls {above}; ulimit -c",
            own = own.display(),
            shared = shared.display(),
            above = directory.path().display(),
        );
        let Some(text) = told(directory.path(), root, &script).await else {
            return;
        };
        let top = directory.path().iter().nth(1).unwrap().display().to_string();
        let mut seen = ["bin", "dev", "lib", "lib64", &top, "usr"];
        seen.sort_unstable();
        let expected = format!(
            "{OWNER}\n{OWNER}\ncontent\n0\n2\n2\n{}\nown\nshared\n0\n",
            seen.join("\n")
        );
        assert_eq!(text, expected);
        assert_eq!(fs::read_to_string(own).unwrap(), "written\n");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let place = directory.path().display().to_string();
        assert!(!mounts.contains(&place), "{mounts}");
    }

    #[tokio::test]
    async fn what_cannot_be_shown_starts_no_process_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root {
            place: directory.path().join("absent"),
            ..Root::default()
        };
        let rights = Rights {
            owner: OWNER,
            largest_file: 0,
        };
        let launch = Launch {
            confinement: Some(Confinement { root, rights }),
            ..Launch::new(Command::new("/bin/true"), directory.path().join("log"))
        };
        let folder = Folder::new(directory.path(), VmId::from_random([1; 16]));
        let Err(error) = launch.record_in(&folder) else {
            panic!("it runs")
        };
        assert_eq!(error.reason().code, ReasonCode::HostNotReady);
        let allowed = nix::unistd::geteuid().is_root();
        let expected = if allowed {
            "cannot mount a root on"
        } else {
            "cannot make namespaces for"
        };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
