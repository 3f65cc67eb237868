//! SSH keys: the public lines a new VM accepts, and the private file that signs in.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use api::PublicKey;

use crate::failure::Failure;

/// The key pair that `make up` makes in the state directory.
const PAIR: &str = "id_pitwall";

/// The public keys of the files, or the made pair's where none is given and there is one.
///
/// A private key's file stands for the `.pub` beside it; its own content never leaves this function.
pub(crate) fn public_lines(files: &[PathBuf], state: &Path) -> Result<Vec<String>, Failure> {
    if files.is_empty() {
        let path = with_pub(&state.join(PAIR));
        return match fs::read_to_string(&path) {
            Ok(text) => lines(&path, &text),
            // Those of the account may open it; where there are none either, the server says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Failure::NoKey { path, source }),
        };
    }
    lines_of(files)
}

/// The public keys of the files.
pub(crate) fn lines_of(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    for file in files {
        let beside = with_pub(file);
        let path = if beside.is_file() { beside } else { file.clone() };
        let text = fs::read_to_string(&path).map_err(|source| Failure::KeyFile {
            path: path.clone(),
            source,
        })?;
        keys.extend(lines(&path, &text)?);
    }
    Ok(keys)
}

fn lines(path: &Path, text: &str) -> Result<Vec<String>, Failure> {
    let is_key = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let parse = |line: &str| {
        let key = line.parse::<PublicKey>();
        key.map(String::from).map_err(|source| Failure::Key {
            path: path.to_owned(),
            source,
        })
    };
    let keys = text
        .lines()
        .filter(is_key)
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    match keys.is_empty() {
        true => parse("").map(|key| vec![key]),
        false => Ok(keys),
    }
}

/// The private key to sign in with: the one given, else the made pair's where this person may read it.
pub(crate) fn identity(given: Option<&Path>, state: &Path) -> Option<PathBuf> {
    let made = || Some(state.join(PAIR)).filter(|path| fs::File::open(path).is_ok());
    given.map(Path::to_owned).or_else(made)
}

fn with_pub(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".pub");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh me";

    #[test]
    fn a_private_keys_file_stands_for_the_public_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("id");
        fs::write(&private, "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").unwrap();
        let refused = public_lines(std::slice::from_ref(&private), folder.path()).unwrap_err();
        assert!(
            matches!(
                refused,
                Failure::Key {
                    source: api::KeyError::Private,
                    ..
                }
            ),
            "{refused:?}"
        );
        fs::write(folder.path().join("id.pub"), format!("# mine\n\n{KEY}\n")).unwrap();
        assert_eq!(public_lines(&[private], folder.path()).unwrap(), [KEY]);
    }

    #[test]
    fn the_made_pair_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(public_lines(&[], folder.path()).unwrap(), [""; 0]);
        assert_eq!(identity(None, folder.path()), None);
        fs::write(folder.path().join("id_pitwall.pub"), KEY).unwrap();
        fs::write(folder.path().join("id_pitwall"), "private").unwrap();
        assert_eq!(public_lines(&[], folder.path()).unwrap(), [KEY]);
        assert_eq!(
            identity(None, folder.path()),
            Some(folder.path().join("id_pitwall"))
        );
        assert_eq!(identity(Some(Path::new("/k")), folder.path()), Some("/k".into()));
    }

    #[test]
    fn an_empty_file_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pub");
        fs::write(&empty, "\n").unwrap();
        assert!(matches!(
            public_lines(&[empty], folder.path()),
            Err(Failure::Key { .. })
        ));
    }
}
