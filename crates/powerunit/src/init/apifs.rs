//! The filesystems that are windows into the kernel.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};

use super::error::Error;
use super::kmsg;

struct Api {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: &'static CStr,
}

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const NO_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

const PROC: Api = Api {
    source: "proc",
    target: "/proc",
    kind: "proc",
    flags: NO_PROGRAMS,
    data: c"",
};
const SYS: Api = Api {
    source: "sysfs",
    target: "/sys",
    kind: "sysfs",
    flags: NO_PROGRAMS,
    data: c"",
};
const DEV: Api = Api {
    source: "devtmpfs",
    target: "/dev",
    kind: "devtmpfs",
    flags: MountFlags::NOSUID,
    data: c"mode=0755",
};

/// In the order of mounting. /tmp is not among them: memory is dearer than disk in a small machine, so it stays
/// where the image has it, as in a Debian installation.
const LATER: [Api; 4] = [
    Api {
        source: "devpts",
        target: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: c"gid=5,mode=0620,ptmxmode=0666",
    },
    Api {
        source: "tmpfs",
        target: "/dev/shm",
        kind: "tmpfs",
        flags: NO_DEVICES,
        data: c"mode=1777",
    },
    Api {
        source: "tmpfs",
        target: "/run",
        kind: "tmpfs",
        flags: NO_DEVICES,
        data: c"mode=0755,size=25%",
    },
    Api {
        source: "cgroup2",
        target: "/sys/fs/cgroup",
        kind: "cgroup2",
        flags: NO_PROGRAMS,
        data: c"nsdelegate,memory_recursiveprot",
    },
];

const DEV_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// In the initramfs: what finding modules, port and disks needs.
pub(super) fn mount_early() -> Result<(), Error> {
    for api in [&PROC, &SYS, &DEV] {
        let _ = fs::create_dir(api.target);
        api.mount()?;
    }
    Ok(())
}

/// Takes the early ones along into the new root, whose path this is.
pub(super) fn move_early(new_root: &str) -> Result<(), Error> {
    for api in [&PROC, &SYS, &DEV] {
        let target = format!("{new_root}{}", api.target);
        let _ = fs::create_dir(&target);
        mount_move(api.target, target.as_str()).map_err(|source| Error::Mount {
            what: api.kind.to_owned(),
            target: api.target,
            source,
        })?;
    }
    Ok(())
}

/// In the new root: everything else that programs expect.
pub(super) fn mount_later() -> Result<(), Error> {
    for api in &LATER {
        let _ = fs::create_dir(api.target);
        match api.mount() {
            // A kernel without cgroups or POSIX shared memory still makes a machine.
            Err(error) if api.target != "/dev/pts" => kmsg::problem(&error),
            done => done?,
        }
    }
    delegate(Path::new("/sys/fs/cgroup"));
    for (to, link) in DEV_LINKS {
        let _ = symlink(to, link);
    }
    directory("/tmp", 0o1777)
}

/// A directory that must be there; one that the image has keeps its mode.
pub(super) fn directory(path: &str, mode: u32) -> Result<(), Error> {
    if Path::new(path).exists() {
        return Ok(());
    }
    fs::create_dir(path).map_err(Error::file("make the directory", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::file("set the mode of", path))
}

/// A directory and all above it, for everybody to enter; those that are there keep their modes.
pub(super) fn directories(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(Error::file("make the directory", path))
}

/// Lets everybody who may make a group of processes give it shares and limits of every kind that the kernel has.
fn delegate(groups: &Path) {
    let controllers = fs::read_to_string(groups.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        // One at a time: the kernel takes all of a list or nothing.
        let _ = fs::write(groups.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

impl Api {
    fn mount(&self) -> Result<(), Error> {
        match mount(self.source, self.target, self.kind, self.flags, self.data) {
            // devtmpfs: the kernel may have been built to mount it itself.
            Ok(()) | Err(Errno::BUSY) => Ok(()),
            Err(source) => Err(Error::Mount {
                what: self.kind.to_owned(),
                target: self.target,
                source,
            }),
        }
    }
}
