//! What is done by path alone.

use std::ffi::OsStr;
use std::fs::canonicalize;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, lstat, rename as replace, renameat_with};
use rustix::io::Errno;

use super::failure::Failure;
use crate::accounts::Database;

/// Renames; what is at `to` already is an error (section 6.5 of the draft), unless `replacing`.
pub(super) fn rename(from: &[u8], to: &[u8], replacing: bool) -> Result<(), Failure> {
    if replacing {
        return Ok(replace(from, to)?);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Filesystems that cannot promise it, such as NFS, are asked first.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if lstat(to).is_ok() {
                return Err(Errno::EXIST.into());
            }
            Ok(replace(from, to)?)
        }
        other => Ok(other?),
    }
}

/// The absolute path without links. Its last part need not exist: clients ask for where they are about to write.
pub(super) fn real(path: &[u8]) -> Result<Vec<u8>, Failure> {
    let path = Path::new(OsStr::from_bytes(if path.is_empty() { b"." } else { path }));
    let real = match canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => real_parent(path).ok_or(error)?,
        other => other?,
    };
    Ok(real.into_os_string().into_vec())
}

fn real_parent(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
    Some(parent.join(name))
}

/// The same with `~` for where the session began, which is the home, and `~user` for the home of another.
pub(super) fn expand(path: &[u8]) -> Result<Vec<u8>, Failure> {
    let Some(behind) = path.strip_prefix(b"~") else {
        return real(path);
    };
    let slash = behind
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(behind.len());
    let (user, rest) = behind.split_at_checked(slash).unwrap_or_default();
    let mut expanded = if user.is_empty() {
        std::env::current_dir()?.into_os_string().into_vec()
    } else {
        let user = String::from_utf8_lossy(user);
        let accounts = Database::read();
        let home = accounts.home(&user).ok_or(Failure::NoSuchUser)?;
        home.as_os_str().as_bytes().to_vec()
    };
    expanded.extend_from_slice(rest);
    real(&expanded)
}

/// The text of a symbolic link.
pub(super) fn read_link(path: &[u8]) -> Result<Vec<u8>, Failure> {
    Ok(rustix::fs::readlink(path, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::failure::Status;
    use std::fs;

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    #[test]
    fn a_real_path_may_lack_its_last_part_only() {
        let folder = tempfile::tempdir().unwrap();
        let base = canonicalize(folder.path()).unwrap();
        fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.join("link")).unwrap();
        let of = |path: &str| real(bytes(&base.join(path)));
        assert_eq!(of("link/../real/.").unwrap(), bytes(&base.join("real")));
        assert_eq!(of("link/new").unwrap(), bytes(&base.join("real/new")));
        assert_eq!(of("new/").unwrap(), bytes(&base.join("new")));
        assert_eq!(of("none/new").unwrap_err().status(), Status::NoSuchFile);
        assert_eq!(real(b"").unwrap(), real(b".").unwrap());
        assert_eq!(real(b"/").unwrap(), b"/");
    }

    #[test]
    fn a_tilde_is_the_start_of_the_session_or_somebodys_home() {
        let here = real(b".").unwrap();
        assert_eq!(expand(b"~").unwrap(), here);
        assert_eq!(expand(b"~/new").unwrap(), [&here[..], b"/new"].concat());
        assert_eq!(expand(b"~root").unwrap(), real(b"/root").unwrap());
        assert_eq!(expand(b"/~").unwrap(), b"/~");
        assert!(matches!(expand(b"~no-such-user/x"), Err(Failure::NoSuchUser)));
    }

    #[test]
    fn a_rename_replaces_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert_eq!(
            rename(bytes(&from), bytes(&to), false).unwrap_err().status(),
            Status::Failure
        );
        assert_eq!(fs::read(&to).unwrap(), b"old");
        rename(bytes(&from), bytes(&to), true).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        rename(bytes(&to), bytes(&from), false).unwrap();
        assert!(from.exists() && !to.exists());
    }
}
