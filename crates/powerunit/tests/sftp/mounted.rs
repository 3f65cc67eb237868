//! A mount by `sshfs`, as an editor or a file manager uses it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::files::FileClients;
use crate::server::Server;
use crate::support::{available, run, wait_for};

/// Unmounts when the test ends, however it ends.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uq").arg(&self.0).status();
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

#[test]
fn sshfs_mounts_and_behaves_as_a_filesystem() {
    if !available(&["sshfs", "fusermount3"], &[Path::new("/dev/fuse")]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mount = Mount(here.path().to_owned());
    let mut sshfs = server.client().tool("sshfs", "-p");
    run(sshfs
        .arg(format!("fred@127.0.0.1:{}", there.path().display()))
        .arg(here.path()));
    wait_for("the mount", Duration::from_secs(10), || {
        is_mounted(here.path()).then_some(())
    });
    let at = |name: &str| here.path().join(name);

    let content: Vec<u8> = (0..2_000_000_u32).map(|place| (place % 253) as u8).collect();
    let mut file = File::create(at("file")).unwrap();
    file.write_all(&content).unwrap();
    file.sync_all().unwrap();
    drop(file);
    assert!(fs::read(there.path().join("file")).unwrap() == content);
    assert!(fs::read(at("file")).unwrap() == content);

    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/other"), "other").unwrap();
    fs::rename(at("folder/other"), at("file")).unwrap();
    assert_eq!(fs::read_to_string(there.path().join("file")).unwrap(), "other");
    fs::hard_link(at("file"), at("hard")).unwrap();
    assert_eq!(fs::metadata(there.path().join("file")).unwrap().nlink(), 2);
    symlink("file", at("soft")).unwrap();
    assert_eq!(
        fs::read_link(there.path().join("soft")).unwrap(),
        Path::new("file")
    );
    File::options()
        .write(true)
        .open(at("file"))
        .unwrap()
        .set_len(3)
        .unwrap();
    assert_eq!(fs::read_to_string(there.path().join("file")).unwrap(), "oth");
    let size = |path: &Path| rustix::fs::statvfs(path).map(|facts| facts.f_blocks * facts.f_frsize);
    assert_eq!(size(here.path()), size(there.path()));
    let mut names: Vec<_> = fs::read_dir(here.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["file", "folder", "hard", "soft"]);
    fs::remove_dir(at("folder")).unwrap();
    assert!(fs::remove_dir(at("folder")).is_err());
    run(Command::new("fusermount3").arg("-u").arg(here.path()));
    drop(mount);
    assert!(!is_mounted(here.path()));
}
