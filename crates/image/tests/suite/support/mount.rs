//! Mounting an image with the kernel, in a mount namespace of a thread's own, and reading what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use ::image::Image;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What a walk sees of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `f`, `d`, `l`, `c`, `b` or `p`.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) links: u64,
    /// Major and minor of devices.
    pub(crate) device: (u64, u64),
    /// The digest of a file's content, or a link's target.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Path to entry; the root is the empty path.
pub(crate) type Walk = BTreeMap<Vec<u8>, Seen>;

/// Runs `read` with an image mounted by the kernel.
pub(crate) fn with_mounted<T: Send>(image: &Image, read: impl FnOnce(&Path) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let mounted = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).expect("a mount namespace");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
            let target = tempfile::tempdir().expect("a directory");
            let loops: Vec<_> = image.disks.iter().map(|disk| attach(&disk.path)).collect();
            let devices: Vec<_> = loops[1..].iter().map(|name| format!("device={name}")).collect();
            let options = devices.join(",");
            let flags = MsFlags::MS_RDONLY;
            let mounted = mount(
                Some(loops[0].as_str()),
                target.path(),
                Some("erofs"),
                flags,
                Some(options.as_str()),
            );
            // A mounted loop device goes away with its mount.
            for name in &loops {
                run(Command::new("losetup").args(["-d", name]));
            }
            mounted.expect("the kernel mounts it");
            let result = read(target.path());
            nix::mount::umount(target.path()).expect("unmounting");
            result
        });
        mounted.join().expect("the mounted image")
    })
}

fn attach(path: &Path) -> String {
    run(Command::new("losetup").args(["-r", "-f", "--show"]).arg(path))
        .trim()
        .to_owned()
}

/// Runs a program that must succeed, and gives its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Reads a whole tree.
pub(crate) fn walk(root: &Path) -> Walk {
    let mut walk = Walk::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let seen = look(&path);
        if seen.kind == 'd' {
            waiting.extend(
                fs::read_dir(&path)
                    .expect("a directory")
                    .map(|entry| entry.expect("an entry").path()),
            );
        }
        let name = path.strip_prefix(root).expect("below the root");
        walk.insert(name.as_os_str().as_bytes().to_vec(), seen);
    }
    walk
}

fn look(path: &Path) -> Seen {
    let metadata = fs::symlink_metadata(path).expect("an entry");
    let file_type = metadata.file_type();
    let (kind, content) = if file_type.is_dir() {
        ('d', Vec::new())
    } else if file_type.is_symlink() {
        (
            'l',
            fs::read_link(path)
                .expect("a link")
                .as_os_str()
                .as_bytes()
                .to_vec(),
        )
    } else if file_type.is_file() {
        (
            'f',
            super::image::digest(&fs::read(path).expect("a file"))
                .as_bytes()
                .to_vec(),
        )
    } else {
        let kind = [
            (file_type.is_char_device(), 'c'),
            (file_type.is_block_device(), 'b'),
            (file_type.is_fifo(), 'p'),
        ];
        (
            kind.iter().find(|(is, _)| *is).map_or('?', |&(_, kind)| kind),
            Vec::new(),
        )
    };
    let is_device = matches!(kind, 'c' | 'b');
    let rdev = metadata.rdev();
    Seen {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        links: metadata.nlink(),
        device: if is_device {
            (nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev))
        } else {
            (0, 0)
        },
        content,
        xattrs: xattrs(path),
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names = xattr::list(path).expect("xattrs");
    names
        .map(|name| {
            let value = xattr::get(path, &name).expect("an xattr").expect("its value");
            (name.as_bytes().to_vec(), value)
        })
        .collect()
}
