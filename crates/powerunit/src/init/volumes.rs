//! Directories of the writable disk itself, where the image says `VOLUME` and where container engines keep theirs.
//!
//! ```text
//!   /dev/vdb ext4 ─┬─ upper/, work/              the overlay: the root of every process
//!                  └─ volumes/var%2Flib%2Fdocker  ── bind ──► /var/lib/docker
//! ```
//!
//! The kernel takes no upper layer of an overlay that lies on an overlay itself, so a container engine could not work
//! on the root. Each is filled once with what its path held until then: beside its place, and renamed when it is whole,
//! so a machine that ends in the middle begins again. Where the path held nothing, nothing is copied.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use rustix::mount::{UnmountFlags, mount_bind, unmount};

use super::copy::copy_tree;
use super::error::Error;
use super::root::Upper;
use super::{apifs, kmsg};

/// Where container engines keep their layers.
pub(super) const ALWAYS: [&str; 3] = ["/var/lib/containerd", "/var/lib/containers", "/var/lib/docker"];

/// Where the disk is reached while this works.
const DISK: &str = "/run/powerunit/disk";

/// Mounts all of them, parents first. One that cannot be made stays as the root has it.
pub(super) fn mount(upper: &Upper, of_image: &[String]) -> Result<(), Error> {
    apifs::directories(Path::new(DISK))?;
    upper.mount_again(DISK)?;
    let folder = Path::new(DISK).join("volumes");
    for path in paths(of_image) {
        if let Err(error) = mount_one(&folder, &path) {
            kmsg::problem(&error);
        }
    }
    let detached = unmount(DISK, UnmountFlags::DETACH);
    detached.map_err(|source| Error::Root {
        operation: "detach the disk of the volumes",
        source,
    })
}

/// Pure: each once, parents before what lies in them; what is no path of a directory below the root is left out.
fn paths(of_image: &[String]) -> BTreeSet<PathBuf> {
    let named = of_image.iter().map(String::as_str);
    named.chain(ALWAYS).filter_map(clean).collect()
}

fn clean(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (path.starts_with('/') && clean.parent().is_some()).then_some(clean)
}

fn mount_one(folder: &Path, path: &Path) -> Result<(), Error> {
    let source = folder.join(name(path));
    apifs::directories(path)?;
    if !source.is_dir() {
        apifs::directories(folder)?;
        let beside = folder.join("new");
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(Error::file("remove", &beside))?;
        }
        copy_tree(path, &beside)?;
        fs::rename(&beside, &source).map_err(Error::file("rename", &beside))?;
    }
    mount_bind(&source, path).map_err(|errno| Error::file("mount the volume", path)(errno.into()))
}

/// Pure: the path as the name of one file; no two paths share one.
fn name(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25");
    path.trim_start_matches('/').replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_taken_once_and_parents_come_first() {
        let of_image = [
            "/data/sub",
            "/data/",
            "/data",
            "relative",
            "/",
            "/a/../etc",
            "/var/lib/docker",
        ];
        let paths = paths(&of_image.map(str::to_owned));
        let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let expected = [
            "/data",
            "/data/sub",
            "/var/lib/containerd",
            "/var/lib/containers",
            "/var/lib/docker",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn no_two_paths_have_one_name() {
        assert_eq!(name(Path::new("/var/lib/docker")), "var%2Flib%2Fdocker");
        assert_ne!(name(Path::new("/a%2Fb")), name(Path::new("/a/b")));
    }
}
