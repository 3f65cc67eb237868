//! From the initramfs into the image: EROFS below, the VM's own ext4 above, overlayfs over both.
//!
//! ```text
//!   tmpfs              ─ /pw/beneath ─┐ lowest: what the image may lack
//!   /dev/vda erofs ro  ─ /pw/image ───┤ lower
//!   /dev/vdb ext4      ─ /pw/upper ───┤ upper/, work/
//!                                     ▼
//!                          /pw/root overlay ── move to / ──► the root of every process
//! ```
//!
//! The mounts of the layers are detached once the overlay holds them: nobody inside can change one behind its back. A
//! descriptor of the image, which is read-only, stays open. The initramfs is emptied, which gives its memory back; the
//! kernel keeps the running program's pages.
//!
//! An idle guest writes nothing: no access times, and ext4 does not fill its inode tables in the background
//! (`noinit_itable`), so a thin disk stays thin.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, mount_remount, unmount};
use wire::guest::Disks;

use super::error::Error;
use super::{apifs, beneath, disks, grow};

const BENEATH: &str = "/pw/beneath";
const IMAGE: &str = "/pw/image";
const UPPER: &str = "/pw/upper";
const ROOT: &str = "/pw/root";

const UPPER_OPTIONS: &str = "noinit_itable,errors=remount-ro";
/// `redirect_dir` lets directories of the image be renamed, as on any other disk.
const OVERLAY_OPTIONS: &str =
    "lowerdir=/pw/image:/pw/beneath,upperdir=/pw/upper/upper,workdir=/pw/upper/work,redirect_dir=on";

/// The VM's own disk, which a shutdown must leave clean.
#[derive(Debug, Clone)]
pub(super) struct Upper(PathBuf);

/// What stays reachable of what lies below the root of every process.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) upper: Upper,
    /// The image's file tree, to tell what came with the image from what was written here.
    pub(super) image: OwnedFd,
}

/// Mounts everything and enters it.
pub(super) fn enter(config: &Disks) -> Result<Layers, Error> {
    let upper = Upper(disks::find(&config.upper)?);
    for folder in ["/pw", BENEATH, IMAGE, UPPER, ROOT] {
        apifs::directory(folder, 0o755)?;
    }
    mount_image(config)?;
    mount_device(&upper.0, UPPER, "ext4", MountFlags::NOATIME, UPPER_OPTIONS)?;
    grow::fill_disk(&upper.0, Path::new(UPPER));
    prepare_upper()?;
    beneath::lay(BENEATH, Path::new(IMAGE), &Path::new(UPPER).join("upper"))?;
    mount_device(
        Path::new("overlay"),
        ROOT,
        "overlay",
        MountFlags::NOATIME,
        OVERLAY_OPTIONS,
    )?;
    let image = open_image()?;
    for (target, operation) in [
        (BENEATH, "detach the layer beneath the image"),
        (IMAGE, "detach the image"),
        (UPPER, "detach the upper disk"),
    ] {
        unmount(target, UnmountFlags::DETACH).map_err(|source| Error::Root { operation, source })?;
    }
    apifs::move_early(ROOT)?;
    empty_initramfs();
    switch().map_err(|source| Error::Root {
        operation: "switch to the image's root",
        source,
    })?;
    Ok(Layers { upper, image })
}

impl Upper {
    /// Mounts the whole disk once more, beside what the overlay shows of it.
    pub(super) fn mount_again(&self, target: &'static str) -> Result<(), Error> {
        mount_device(&self.0, target, "ext4", MountFlags::NOATIME, "")
    }

    /// Leaves a clean filesystem, when every other process has ended.
    ///
    /// The mounts inside overlayfs cannot be reached, but a second mount of the device shares their superblock, and
    /// making that one read-only writes the journal out and marks the filesystem clean.
    pub(super) fn make_read_only(&self) -> Result<(), Error> {
        let target = "/run/powerunit-upper";
        apifs::directory(target, 0o700)?;
        self.mount_again(target)?;
        mount_remount(target, MountFlags::RDONLY, "").map_err(|source| Error::Root {
            operation: "make the upper disk read-only",
            source,
        })
    }
}

/// Mounts an EROFS without further devices.
pub(super) fn mount_read_only(device: &Path, target: &Path) -> Result<(), Error> {
    let mounted = mount(
        device,
        target,
        "erofs",
        MountFlags::RDONLY | MountFlags::NODEV,
        c"",
    );
    mounted.map_err(|errno| Error::file("mount a disk on", target)(errno.into()))
}

fn mount_image(config: &Disks) -> Result<(), Error> {
    let device = disks::find(&config.root)?;
    let more: Vec<PathBuf> = config
        .root_devices
        .iter()
        .map(disks::find)
        .collect::<Result<_, _>>()?;
    let options: Vec<String> = more
        .iter()
        .map(|path| format!("device={}", path.display()))
        .collect();
    mount_device(&device, IMAGE, "erofs", MountFlags::RDONLY, &options.join(","))
}

/// The mount lives on behind the descriptor when it is detached.
fn open_image() -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(IMAGE, flags, Mode::empty()).map_err(|source| Error::Root {
        operation: "open the image",
        source,
    })
}

/// The overlay's own root directory takes mode and owner from the upper one, so that begins as the image's.
fn prepare_upper() -> Result<(), Error> {
    let upper = Path::new(UPPER).join("upper");
    if !upper.exists() {
        let image = fs::metadata(IMAGE).map_err(Error::file("look at", IMAGE))?;
        fs::create_dir(&upper).map_err(Error::file("make the directory", &upper))?;
        fs::set_permissions(&upper, image.permissions()).map_err(Error::file("set the mode of", &upper))?;
        chown(&upper, Some(image.uid()), Some(image.gid()))
            .map_err(Error::file("set the owner of", &upper))?;
    }
    apifs::directory("/pw/upper/work", 0o700)
}

fn mount_device(
    device: &Path,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: &str,
) -> Result<(), Error> {
    let failed = |source| Error::Mount {
        what: format!("{kind} {}", device.display()),
        target,
        source,
    };
    let data = CString::new(options).map_err(|_| failed(Errno::INVAL))?;
    mount(device, target, kind, flags, data.as_c_str()).map_err(failed)
}

fn switch() -> Result<(), Errno> {
    rustix::process::chdir(ROOT)?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")
}

/// Frees the memory of modules and program; what cannot be removed (mount points) costs nothing.
fn empty_initramfs() {
    let _ = fs::remove_dir_all("/modules");
    let _ = fs::remove_file("/init");
    let names = |name: &OsStr| name.as_bytes() != b"pw";
    let Ok(entries) = fs::read_dir("/") else { return };
    for entry in entries
        .filter_map(Result::ok)
        .filter(|entry| names(&entry.file_name()))
    {
        let _ = fs::remove_dir(entry.path());
    }
}
