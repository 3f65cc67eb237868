//! The kernel's modules for people and for the kernel itself: the disk that holds all of them, and what the kernel
//! calls when it wants one.
//!
//! A device that nobody has opened yet has no driver, so its node must be there before its module is: those that
//! `modules.devname` names (depmod(8)) are made at once, as `kmod static-nodes` does elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use wire::guest::Disk;

use super::error::Error;
use super::{apifs, beneath, disks, kmsg, root};

/// What the kernel starts. In a folder of its own, out of everybody's `PATH`: an image's own modprobe comes first there.
const HELPER_FOLDER: &str = "/run/powerunit";
const HELPER: &str = "/run/powerunit/modprobe";

/// Nodes that everybody may open, as udev's rules have it; the device itself asks for rights.
const FOR_EVERYBODY: [&str; 2] = ["net/tun", "fuse"];

/// Mounts the disk and names the helper. A machine without the disk, or whose kernel takes no modules, goes on.
pub(super) fn offer(disk: Option<&Disk>) {
    let done = disk.map_or(Ok(()), mount).and_then(|()| name_helper());
    if let Err(error) = done {
        kmsg::problem(&error);
    }
}

fn mount(disk: &Disk) -> Result<(), Error> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let folder = Path::new("/lib/modules").join(release);
    root::mount_read_only(&disks::find(disk)?, &folder)?;
    let devices = fs::read_to_string(folder.join("modules.devname")).unwrap_or_default();
    rustix::process::umask(Mode::empty());
    for node in devices.lines().filter_map(Node::parse) {
        node.make();
    }
    Ok(())
}

fn name_helper() -> Result<(), Error> {
    let setting = Path::new("/proc/sys/kernel/modprobe");
    if !setting.exists() {
        return Ok(());
    }
    apifs::directory(HELPER_FOLDER, 0o755)?;
    symlink(beneath::PROGRAM, HELPER).map_err(Error::file("make the link", HELPER))?;
    fs::write(setting, HELPER).map_err(Error::file("write", setting))
}

/// A line of `modules.devname`: `MODULE NAME [bc]MAJOR:MINOR`.
#[derive(Debug, PartialEq, Eq)]
struct Node<'a> {
    name: &'a str,
    kind: FileType,
    major: u32,
    minor: u32,
}

impl<'a> Node<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (_module, name, device) = (words.next()?, words.next()?, words.next()?);
        let kind = match device.get(..1)? {
            "b" => FileType::BlockDevice,
            "c" => FileType::CharacterDevice,
            _ => return None,
        };
        let (major, minor) = device.get(1..)?.split_once(':')?;
        let plain = !name.split('/').any(|part| part.is_empty() || part == "..");
        Some(Self {
            name,
            kind,
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
        .filter(|_| plain && !line.starts_with('#'))
    }

    /// One that is there already is the driver's own.
    fn make(&self) {
        let path = Path::new("/dev").join(self.name);
        if let Some(folder) = path.parent() {
            let _ = apifs::directories(folder);
        }
        let mode = if FOR_EVERYBODY.contains(&self.name) {
            0o666
        } else {
            0o600
        };
        let _ = mknodat(
            CWD,
            &path,
            self.kind,
            Mode::from_raw_mode(mode),
            makedev(self.major, self.minor),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_depmod_are_nodes_and_comments_are_not() {
        let node = |name, kind, major, minor| Node {
            name,
            kind,
            major,
            minor,
        };
        for (line, expected) in [
            (
                "tun net/tun c10:200",
                Some(node("net/tun", FileType::CharacterDevice, 10, 200)),
            ),
            (
                "loop loop-control b7:0",
                Some(node("loop-control", FileType::BlockDevice, 7, 0)),
            ),
            ("# Device nodes to trigger on-demand module loading.", None),
            ("evil ../etc/shadow c1:1", None),
            ("evil /etc/shadow c1:1", None),
            ("short net/tun", None),
        ] {
            assert_eq!(Node::parse(line), expected, "{line}");
        }
    }
}
