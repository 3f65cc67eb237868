//! A user's own `~/.ssh/authorized_keys`.
//!
//! It counts when nobody but the user and root can have written it (sshd_config(5), StrictModes), and only with what
//! was written in this VM: whoever made the image does not thereby hold a key to each VM of it.
//!
//! ```text
//!   /home/ann/.ssh/authorized_keys          what ann sees, read as ann
//!   − the same path in the image below      read through a directory that PID 1 keeps open
//!   = what was written here
//! ```

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tokio::time::timeout;

use super::authorized_keys;
use crate::ssh::accounts::Account;
use crate::ssh::user;

/// The largest file that is read: a thousand keys with room to spare.
const LARGEST: u64 = 256 << 10;
/// A home may lie in a file system that does not answer.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// The image's file tree as it is below the VM's own writes.
#[derive(Debug)]
pub(in crate::ssh) struct Image(OwnedFd);

impl Image {
    /// Opens the tree whose root is at this path.
    ///
    /// # Errors
    ///
    /// That there is no such directory.
    pub(in crate::ssh) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(root, flags, Mode::empty())?))
    }

    /// What the image has at an absolute path; nothing where it has no such file.
    fn text(&self, path: &Path) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Its links lead through the image and not through the VM.
        match openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(file) => read(&File::from(file)),
            Err(errno) => match io::Error::from(errno) {
                error if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    Ok(String::new())
                }
                error => Err(error),
            },
        }
    }
}

/// The lines that count; none where anything is not as it must be. Without a look at the image they cannot be told
/// from its own.
pub(super) async fn lines(account: &Account, image: Option<&Image>, image_keys: bool) -> String {
    let asked = account.clone();
    let reading = user::run(account, move || present(&asked.home, asked.uid));
    let Ok(Ok((path, present))) = timeout(READ_WITHIN, reading).await else {
        return String::new();
    };
    if image_keys {
        return present;
    }
    let image = image.and_then(|image| image.text(&path).ok());
    image.map_or_else(String::new, |image| {
        authorized_keys::written_later(&present, &image)
    })
}

/// The file, where it really lies, and its text.
fn present(home: &Path, uid: u32) -> io::Result<(PathBuf, String)> {
    let path = fs::canonicalize(home.join(".ssh/authorized_keys"))?;
    let home = fs::canonicalize(home)?;
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(|_| ErrorKind::InvalidInput)?;
    let file = File::options().read(true).custom_flags(flags).open(&path)?;
    if !is_kept(&file.metadata()?, uid) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    for folder in path.ancestors().skip(1) {
        if !is_kept(&fs::metadata(folder)?, uid) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        if folder == home {
            break;
        }
    }
    let text = read(&file)?;
    Ok((path, text))
}

/// Whether nobody but this user and root can write here.
fn is_kept(found: &Metadata, uid: u32) -> bool {
    (found.uid() == uid || found.uid() == 0) && found.mode() & 0o022 == 0
}

fn read(file: &File) -> io::Result<String> {
    let found = file.metadata()?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    const LINES: &str = "ssh-ed25519 AAAA first\nssh-ed25519 BBBB second\n";

    struct Home {
        folder: tempfile::TempDir,
        account: Account,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("home/ann");
            fs::create_dir_all(home.join(".ssh")).unwrap();
            fs::create_dir(folder.path().join("image")).unwrap();
            let found = fs::metadata(&home).unwrap();
            let account = Account {
                name: "ann".into(),
                uid: found.uid(),
                gid: found.gid(),
                groups: vec![],
                home,
                shell: "/bin/sh".into(),
            };
            let home = Self { folder, account };
            fs::write(home.file(), LINES).unwrap();
            for (path, mode) in [("", 0o755), (".ssh", 0o700), (".ssh/authorized_keys", 0o600)] {
                home.set_mode(path, mode);
            }
            home
        }

        fn file(&self) -> PathBuf {
            self.account.home.join(".ssh/authorized_keys")
        }

        fn set_mode(&self, path: &str, mode: u32) {
            let path = self.account.home.join(path);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        /// What the image is to have at the file's path.
        fn put_in_image(&self, text: &str) {
            let image = self.folder.path().join("image");
            let below = image.join(self.file().strip_prefix("/").unwrap());
            fs::create_dir_all(below.parent().unwrap()).unwrap();
            fs::write(below, text).unwrap();
        }

        async fn lines(&self, image_keys: bool) -> String {
            let image = Image::open(&self.folder.path().join("image")).unwrap();
            lines(&self.account, Some(&image), image_keys).await
        }
    }

    #[tokio::test]
    async fn what_was_written_here_counts_and_the_images_does_not() {
        let home = Home::new();
        assert_eq!(home.lines(false).await, LINES);
        home.put_in_image("ssh-ed25519 AAAA first\n");
        assert_eq!(home.lines(false).await, "ssh-ed25519 BBBB second\n");
        assert_eq!(home.lines(true).await, LINES);
        home.put_in_image(LINES);
        assert_eq!(home.lines(false).await, "");
        assert_eq!(
            lines(&home.account, None, false).await,
            "",
            "nobody knows whose they are"
        );
        assert_eq!(lines(&home.account, None, true).await, LINES);
    }

    #[tokio::test]
    async fn what_others_may_write_does_not_count() {
        for (path, mode) in [
            ("", 0o775),
            ("", 0o757),
            (".ssh", 0o770),
            (".ssh/authorized_keys", 0o620),
        ] {
            let home = Home::new();
            home.set_mode(path, mode);
            assert_eq!(home.lines(true).await, "", "{path:?} with {mode:o}");
        }
        if rustix::process::geteuid().is_root() {
            for path in ["", ".ssh", ".ssh/authorized_keys"] {
                let home = Home::new();
                chown(home.account.home.join(path), Some(4711), None).unwrap();
                assert_eq!(home.lines(true).await, "", "{path:?} is another's");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_plain_small_file_does_not_count() {
        let home = Home::new();
        fs::write(home.file(), vec![b'\n'; LARGEST as usize + 1]).unwrap();
        assert_eq!(home.lines(true).await, "");
        fs::remove_file(home.file()).unwrap();
        assert_eq!(home.lines(true).await, "", "no file");
        nix::unistd::mkfifo(&home.file(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(home.lines(true).await, "", "a pipe that nobody writes to");
    }

    #[tokio::test]
    async fn a_link_counts_as_what_it_leads_to() {
        let home = Home::new();
        let target = home.account.home.join("keys");
        fs::rename(home.file(), &target).unwrap();
        symlink("../keys", home.file()).unwrap();
        assert_eq!(home.lines(false).await, LINES);
        home.set_mode("keys", 0o666);
        assert_eq!(home.lines(false).await, "");
    }
}
