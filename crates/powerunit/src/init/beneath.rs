//! The layer beneath the image: what people and the kernel need and the image may lack.
//!
//! ```text
//!   upper    what the VM writes       hides
//!   image                             hides
//!   beneath  links to our commands, empty directories to mount on
//! ```
//!
//! It lies in memory, so nothing of it is ever on a disk, and whatever the image or the VM has under such a name is in
//! front of it. A layer rather than a directory in `PATH`, because profiles, sudo and cron set a `PATH` of their own.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use super::error::Error;
use super::volumes;
use crate::commands;

/// Every program file of ours is this one.
pub(super) const PROGRAM: &str = "/proc/1/exe";

/// Where commands are looked for, in an image whose folders are not links; a command in any of them is not missing.
const FOLDERS: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

/// Where a missing one is put: the first of these that the image has, or else the last.
const HOMES: [&str; 4] = ["usr/sbin", "usr/bin", "bin", "sbin"];

/// Makes the layer in `target`, for an image and for what the VM has written over it.
pub(super) fn lay(target: &'static str, image: &Path, upper: &Path) -> Result<(), Error> {
    let options = c"mode=0755,size=1M";
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", target, "tmpfs", flags, options).map_err(|source| Error::Mount {
        what: "tmpfs".to_owned(),
        target,
        source,
    })?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let target = Path::new(target);
    let filled = fill(target, image, upper, &release);
    filled.map_err(Error::file("fill", target))
}

fn fill(target: &Path, image: &Path, upper: &Path, release: &str) -> io::Result<()> {
    let home = target.join(home(image));
    for name in missing(image, upper) {
        fs::create_dir_all(&home)?;
        symlink(PROGRAM, home.join(name))?;
    }
    let modules = modules(image).map(|folder| folder.join(release));
    let volumes = volumes::ALWAYS.map(|path| PathBuf::from(path.trim_start_matches('/')));
    for folder in volumes.into_iter().chain(modules) {
        fs::create_dir_all(target.join(folder))?;
    }
    Ok(())
}

/// The commands that neither the image nor the VM has, nor had and removed.
fn missing<'a>(image: &'a Path, upper: &'a Path) -> impl Iterator<Item = &'static str> + 'a {
    let has = |root: &Path, name: &str| {
        let there = |folder: &&str| root.join(folder).join(name).symlink_metadata().is_ok();
        FOLDERS.iter().any(there)
    };
    commands::NAMES
        .into_iter()
        .filter(move |name| !has(image, name) && !has(upper, name))
}

/// A folder that is reached under its own name: a link in front of it would hide it.
fn home(image: &Path) -> &'static str {
    let [.., last] = HOMES;
    let usable = |folder: &&str| is_plain(image, folder);
    HOMES.into_iter().find(usable).unwrap_or(last)
}

/// The folder of kernel modules, below a `lib` that may be a link into `usr`.
fn modules(image: &Path) -> Option<PathBuf> {
    let lib = if image.join("lib").is_symlink() {
        "usr/lib"
    } else {
        "lib"
    };
    let linked = image.join(lib).join("modules").is_symlink();
    (!linked).then(|| Path::new(lib).join("modules"))
}

/// Whether each part of the path is a directory and no link.
fn is_plain(root: &Path, folder: &str) -> bool {
    let mut path = root.to_owned();
    folder.split('/').all(|part| {
        path.push(part);
        path.symlink_metadata().is_ok_and(|found| found.is_dir())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folders: &[&str], files: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in files {
            fs::write(root.path().join(file), "").unwrap();
        }
        for (link, to) in links {
            symlink(to, root.path().join(link)).unwrap();
        }
        root
    }

    fn filled(image: &Path, upper: &Path) -> tempfile::TempDir {
        let target = tempfile::tempdir().unwrap();
        fill(target.path(), image, upper, "6.1").unwrap();
        target
    }

    #[test]
    fn an_image_keeps_its_own_commands_and_gets_the_others() {
        let image = made(
            &["usr/sbin", "usr/bin", "usr/lib"],
            &["usr/sbin/reboot"],
            &[
                ("sbin", "usr/sbin"),
                ("lib", "usr/lib"),
                ("usr/bin/halt", "/nowhere"),
            ],
        );
        let upper = made(&["usr/sbin"], &["usr/sbin/shutdown"], &[]);
        let layer = filled(image.path(), upper.path());
        let mut names: Vec<_> = fs::read_dir(layer.path().join("usr/sbin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["modprobe", "poweroff"]);
        assert_eq!(
            fs::read_link(layer.path().join("usr/sbin/poweroff")).unwrap(),
            Path::new(PROGRAM)
        );
        assert!(layer.path().join("usr/lib/modules/6.1").is_dir());
        assert!(!layer.path().join("lib").exists());
    }

    #[test]
    fn an_image_without_anything_gets_all_of_it() {
        let empty = tempfile::tempdir().unwrap();
        let layer = filled(empty.path(), empty.path());
        for name in commands::NAMES {
            assert!(layer.path().join("sbin").join(name).is_symlink(), "{name}");
        }
        assert!(layer.path().join("lib/modules/6.1").is_dir());
        assert!(layer.path().join("var/lib/docker").is_dir());
    }

    #[test]
    fn nothing_is_put_behind_a_link() {
        let image = made(&["usr/bin"], &[], &[("usr/sbin", "bin"), ("bin", "usr/bin")]);
        assert_eq!(home(image.path()), "usr/bin");
        let odd = made(&["lib"], &[], &[("lib/modules", "/elsewhere")]);
        assert_eq!(modules(odd.path()), None);
    }
}
