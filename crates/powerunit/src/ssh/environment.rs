//! The environment of a session's program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use super::accounts::Account;
use crate::launch::PATH;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

/// Whether a client may set this variable: its language, and nothing that changes how programs load or run.
pub(super) fn may_be_sent(name: &str) -> bool {
    name == "LANG" || name == "COLORTERM" || name.starts_with("LC_")
}

/// What everybody's sessions get by `/etc/environment`, which elsewhere PAM reads (pam_env(8)).
pub(super) fn of_everybody() -> Vec<(String, String)> {
    let mut bytes = Vec::new();
    // What cannot be read is as if it were not there.
    let _ = File::open("/etc/environment").and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter_map(assignment)
        .collect()
}

/// Far more than anybody writes there.
const MOST_BYTES: u64 = 64 << 10;

/// Pure: `NAME=value`, perhaps in quotes, behind an `export` or before a comment; no shell reads it.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.split('#').next()?.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let quoted = value.strip_prefix(['"', '\'']);
    let value = quoted.map_or(value, |inner| inner.strip_suffix(['"', '\'']).unwrap_or(inner));
    plain.then(|| (name.to_owned(), value.to_owned()))
}

/// Pure: later parts win over earlier ones: everybody, image, account, client, connection. The image's own variables
/// are what its programs need, such as a longer `PATH`, and a distribution's file beneath them knows nothing of those.
pub(super) fn compose(
    everybody: &[(String, String)],
    image: &[String],
    account: &Account,
    shell: Option<&Path>,
    sent: &[(String, String)],
    ends: Ends,
) -> BTreeMap<OsString, OsString> {
    let (client, server) = (ends.client, ends.server);
    let of_image = image.iter().filter_map(|line| line.split_once('='));
    let user = [
        ("USER", account.name.as_str()),
        ("LOGNAME", account.name.as_str()),
    ];
    let connection = [
        (
            "SSH_CLIENT",
            format!("{} {} {}", client.ip(), client.port(), server.port()),
        ),
        (
            "SSH_CONNECTION",
            format!(
                "{} {} {} {}",
                client.ip(),
                client.port(),
                server.ip(),
                server.port()
            ),
        ),
    ];
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::from([("PATH".into(), PATH.into())]);
    all.extend(everybody.iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(of_image.map(|(name, value)| (name.into(), value.into())));
    all.extend(user.map(|(name, value)| (name.into(), value.into())));
    all.insert("HOME".into(), account.home.clone().into());
    all.extend(shell.map(|shell| ("SHELL".into(), shell.into())));
    all.extend(sent.iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(connection.map(|(name, value)| (name.into(), value.into())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_image_sets_the_path_and_the_account_the_home() {
        let account = Account {
            name: "ann".into(),
            uid: 1,
            gid: 1,
            groups: vec![],
            home: PathBuf::from("/home/ann"),
            shell: PathBuf::from("/bin/sh"),
        };
        let ends = Ends {
            client: "192.0.2.1:99".parse().unwrap(),
            server: "192.0.2.2:2222".parse().unwrap(),
        };
        let image = [
            "PATH=/opt/bin".to_owned(),
            "HOME=/wrong".to_owned(),
            "no assignment".to_owned(),
        ];
        let sent = [("LANG".to_owned(), "C.UTF-8".to_owned())];
        let everybody = ["PATH", "HOME", "LANG", "MINE"].map(|name| (name.to_owned(), "of all".to_owned()));
        let all = compose(&everybody, &image, &account, None, &sent, ends);
        let get = |name: &str| {
            all.get(std::ffi::OsStr::new(name))
                .and_then(|value| value.to_str())
        };
        assert_eq!(get("PATH"), Some("/opt/bin"));
        assert_eq!(get("HOME"), Some("/home/ann"));
        assert_eq!(get("LANG"), Some("C.UTF-8"));
        assert_eq!(get("MINE"), Some("of all"));
        assert_eq!(get("SHELL"), None);
        assert_eq!(get("SSH_CONNECTION"), Some("192.0.2.1 99 192.0.2.2 2222"));
        assert!(compose(&[], &[], &account, None, &[], ends).contains_key(std::ffi::OsStr::new("PATH")));
    }

    #[test]
    fn a_line_of_the_file_is_an_assignment_or_nothing() {
        for (line, expected) in [
            ("A=b c", Some(("A", "b c"))),
            ("  export A_1=\"b c\"  # why", Some(("A_1", "b c"))),
            ("A='b=c'", Some(("A", "b=c"))),
            ("A=", Some(("A", ""))),
            ("# A=b", None),
            ("A", None),
            ("=b", None),
            ("A-B=c", None),
            ("", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(assignment(line), expected, "{line}");
        }
    }

    #[test]
    fn a_client_cannot_change_how_programs_load() {
        assert!(may_be_sent("LC_ALL") && may_be_sent("LANG"));
        assert!(!may_be_sent("LD_PRELOAD") && !may_be_sent("PATH") && !may_be_sent("BASH_ENV"));
    }
}
