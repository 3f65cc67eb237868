//! Small root filesystems made on the spot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::run;

/// A root filesystem and what its image says.
pub(crate) struct Image {
    pub(crate) root: PathBuf,
    pub(crate) user: &'static str,
}

impl Image {
    /// busybox with its usual names, root, and a user.
    pub(crate) fn busybox(folder: &Path) -> Self {
        let tree = folder.join("busybox-tree");
        for part in ["bin", "etc", "root", "home/ann", "tmp"] {
            fs::create_dir_all(tree.join(part)).unwrap();
        }
        fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for name in String::from_utf8_lossy(&list.stdout)
            .lines()
            .filter(|name| *name != "busybox")
        {
            symlink("busybox", tree.join("bin").join(name)).unwrap();
        }
        fs::write(
            tree.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
        )
        .unwrap();
        fs::write(tree.join("etc/group"), "root:x:0:\nstaff:x:50:ann\nann:x:1000:\n").unwrap();
        run(Command::new("chmod").arg("1777").arg(tree.join("tmp")));
        Self {
            root: erofs(folder, &tree, "busybox.erofs"),
            user: "ann",
        }
    }

    /// The same without the commands that powerunit lays beneath an image, but with `nft` and something in `/data`.
    pub(crate) fn without_commands(folder: &Path) -> Self {
        let image = Self::busybox(folder);
        let tree = folder.join("busybox-tree");
        for name in ["poweroff", "reboot", "halt", "modprobe"] {
            fs::remove_file(tree.join("bin").join(name)).unwrap();
        }
        fs::create_dir(tree.join("data")).unwrap();
        fs::write(tree.join("data/of-image"), "from the image\n").unwrap();
        fs::write(tree.join("data/unwanted"), "").unwrap();
        add_program(&tree, "/usr/sbin/nft");
        run(Command::new("chmod").arg("0711").arg(tree.join("data")));
        Self {
            root: erofs(folder, &tree, "without-commands.erofs"),
            ..image
        }
    }

    /// The same with an `authorized_keys` file of root's.
    pub(crate) fn with_key(folder: &Path, line: &str) -> Self {
        let image = Self::busybox(folder);
        let tree = folder.join("busybox-tree");
        fs::create_dir(tree.join("root/.ssh")).unwrap();
        fs::write(tree.join("root/.ssh/authorized_keys"), line).unwrap();
        run(Command::new("chmod")
            .args(["-R", "go="])
            .arg(tree.join("root/.ssh")));
        Self {
            root: erofs(folder, &tree, "with-key.erofs"),
            ..image
        }
    }

    /// One static program: no shell, no passwd, not even a directory.
    pub(crate) fn one_program(folder: &Path) -> Self {
        let tree = folder.join("program-tree");
        fs::create_dir_all(&tree).unwrap();
        // busybox runs the applet that its first argument names; it stands for any static program.
        fs::copy("/bin/busybox", tree.join("busybox")).unwrap();
        Self {
            root: erofs(folder, &tree, "program.erofs"),
            user: "",
        }
    }
}

/// A program of the tester's own system in `/bin`, with its libraries in their places.
fn add_program(tree: &Path, program: &str) {
    let list = Command::new("ldd").arg(program).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for library in list.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = tree.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
    let name = Path::new(program).file_name().unwrap();
    fs::copy(program, tree.join("bin").join(name)).unwrap();
}

fn erofs(folder: &Path, tree: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    run(Command::new("mkfs.erofs")
        .args(["-x-1", "--all-root"])
        .arg(&file)
        .arg(tree));
    file
}

/// An empty disk of a VM, as thin as the real one.
pub(crate) fn upper_disk(folder: &Path) -> PathBuf {
    let file = folder.join("upper.ext4");
    fs::File::create(&file).unwrap().set_len(256 << 20).unwrap();
    run(Command::new("/sbin/mkfs.ext4")
        .args(["-q", "-F", "-E", "lazy_itable_init=1,nodiscard"])
        .arg(&file));
    file
}
