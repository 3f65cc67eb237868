//! The jail of a machine: a directory that its VMM takes for the whole file system.
//!
//! ```text
//!   <jails>/<name of the program>/<id>/root/      0700, the owner's
//!       firecracker          the jailer's copy
//!       vmlinux, initramfs   shared, read-only
//!       disk0, disk1 …       shared and read-only, or the VM's own and the owner's
//!       api.sock, ctl.sock   made by Firecracker
//!       dev/                 kvm, net/tun, urandom: made by the jailer
//! ```
//!
//! A file is in there as a hard link, or, where it lies on another file system, as a bind mount; none is ever copied.
//!
//! What always holds:
//!
//! * The directory above a jail is root's alone, so nobody reaches into it from outside, and the VMM, whose root it is,
//!   cannot leave.
//! * The VMM owns its root directory and may put anything there. So nothing in it is read, followed or cut by us: we
//!   connect to sockets in it, and remove it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::VmId;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use tokio::net::UnixStream;

use crate::{Disk, DriverError, Kernel, MachineSpec, confine};

pub(super) const API: &str = "api.sock";
pub(super) const CONTROL: &str = "ctl.sock";
pub(super) const KERNEL: &str = "vmlinux";
pub(super) const INITRAMFS: &str = "initramfs";

/// The name of a disk.
pub(super) fn disk(number: usize) -> String {
    format!("disk{number}")
}

/// The jailer takes letters, digits and dashes.
pub(super) fn name(id: VmId) -> String {
    id.to_string().replace('_', "-")
}

fn id(name: &str) -> Option<VmId> {
    name.replacen('-', "_", 1).parse().ok()
}

/// A jail, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jail {
    path: PathBuf,
}

/// All jails of a directory, under whatever name their program had.
pub(super) fn all(jails: &Path) -> Vec<(VmId, Jail)> {
    let programs = subdirectories(jails);
    let jails = programs.iter().flat_map(|program| subdirectories(program));
    jails
        .filter_map(|path| Some((id(path.file_name()?.to_str()?)?, Jail { path })))
        .collect()
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

impl Jail {
    /// The jail that the jailer will look for, with this program.
    pub(super) fn new(jails: &Path, firecracker: &Path, id: VmId) -> Self {
        let program = firecracker.file_name().unwrap_or(firecracker.as_os_str());
        Self {
            path: jails.join(program).join(name(id)),
        }
    }

    fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// Makes it in place of whatever was there, with all that the machine needs in it.
    pub(super) fn make(&self, spec: &MachineSpec, kernel: &Kernel) -> Result<(), DriverError> {
        self.remove()?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(self.root());
        made.map_err(failed("make the jail", &self.path))?;
        self.share(&kernel.vmlinux, KERNEL)?;
        self.share(&kernel.initramfs, INITRAMFS)?;
        for (number, file) in spec.disks.iter().enumerate() {
            self.place(file, &disk(number), spec.owner)?;
        }
        Ok(())
    }

    fn place(&self, file: &Disk, name: &str, owner: u32) -> Result<(), DriverError> {
        if file.read_only {
            return self.share(&file.path, name);
        }
        confine::give_away(&file.path, owner)?;
        self.link(&file.path, name, MountFlags::empty())
    }

    /// The owner may only read it, because it is not the owner's.
    fn share(&self, file: &Path, name: &str) -> Result<(), DriverError> {
        self.link(file, name, MountFlags::RDONLY)
    }

    fn link(&self, file: &Path, name: &str, flags: MountFlags) -> Result<(), DriverError> {
        let place = self.root().join(name);
        match fs::hard_link(file, &place) {
            Err(error) if cannot_link(&error) => bind(file, &place, flags),
            linked => linked,
        }
        .map_err(failed("put into a jail", file))
    }

    /// Connects to a socket in it. The path of a socket is short ([`sockaddr_un`], unix(7)), that of a jail need not be,
    /// so the jail is opened and the socket looked for from there.
    ///
    /// [`sockaddr_un`]: https://man7.org/linux/man-pages/man7/unix.7.html
    pub(super) async fn connect(&self, socket: &str) -> io::Result<UnixStream> {
        let root = self.open()?;
        UnixStream::connect(format!("/proc/self/fd/{}/{socket}", root.as_raw_fd())).await
    }

    /// Whether it is the root directory of a process.
    pub(super) fn is_root_of(&self, pid: u32) -> bool {
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (
            fs::metadata(format!("/proc/{pid}/root/.")),
            fs::metadata(self.root()),
        ) {
            (Ok(theirs), Ok(ours)) => same(theirs, ours),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        }
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(self.root(), flags, Mode::empty())?)
    }

    /// Removes it with all that is mounted in it.
    pub(super) fn remove(&self) -> Result<(), DriverError> {
        if self.path.symlink_metadata().is_err() {
            return Ok(());
        }
        for place in mounted_below(&self.path) {
            rustix::mount::unmount(&place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .map_err(|errno| failed("unmount", &place)(errno.into()))?;
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove the jail", &self.path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Another file system, one without hard links, or a file that has as many as it can have.
fn cannot_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
    )
}

fn bind(file: &Path, place: &Path, flags: MountFlags) -> io::Result<()> {
    fs::File::create_new(place)?;
    rustix::mount::mount_bind(file, place)?;
    if !flags.is_empty() {
        rustix::mount::mount_remount(place, MountFlags::BIND | flags, "")?;
    }
    Ok(())
}

/// The mounts below a directory, innermost first.
fn mounted_below(directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places: Vec<_> = mount_points(&text)
        .filter(|place| place.starts_with(directory))
        .collect();
    places.reverse();
    places
}

/// The fifth field of proc_pid_mountinfo(5), in which blanks and backslashes are written in octal.
fn mount_points(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mountinfo.lines().filter_map(|line| {
        let place = line.split(' ').nth(4)?;
        let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        let place = plain.iter().fold(place.to_owned(), |place, (octal, letter)| {
            place.replace(octal, letter)
        });
        Some(place.into())
    })
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let path = path.to_owned();
    move |source| DriverError::Folder {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jail_is_found_by_the_id_in_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let vm = VmId::from_random([7; 16]);
        let jail = Jail::new(directory.path(), Path::new("/opt/firecracker-v1.12.1"), vm);
        assert!(jail.path.ends_with(format!("firecracker-v1.12.1/{}", name(vm))));
        assert!(!name(vm).contains('_'));
        fs::create_dir_all(jail.root()).unwrap();
        fs::create_dir(directory.path().join("firecracker-v1.12.1/other")).unwrap();
        assert_eq!(all(directory.path()), [(vm, jail.clone())]);
        jail.remove().unwrap();
        jail.remove().unwrap();
        assert_eq!(all(directory.path()), []);
    }

    #[test]
    fn the_innermost_mount_comes_first_and_neighbours_are_left_alone() {
        let text = "22 1 0:21 / /srv/jails/a rw - tmpfs t rw\n\
                    23 22 0:22 / /srv/jails/a/root/with\\040blank rw - tmpfs t rw\n\
                    24 1 0:23 / /srv/jails/ab rw - tmpfs t rw\n";
        let places: Vec<_> = mount_points(text)
            .filter(|place| place.starts_with("/srv/jails/a"))
            .collect();
        assert_eq!(
            places,
            [
                PathBuf::from("/srv/jails/a"),
                "/srv/jails/a/root/with blank".into()
            ]
        );
    }
}
