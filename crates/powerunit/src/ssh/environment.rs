//! The environment of a session's program.

use std::collections::BTreeMap;
use std::ffi::OsString;
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

/// Pure: later parts win over earlier ones: image, account, client, connection.
pub(super) fn compose(
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
        let all = compose(&image, &account, None, &sent, ends);
        let get = |name: &str| {
            all.get(std::ffi::OsStr::new(name))
                .and_then(|value| value.to_str())
        };
        assert_eq!(get("PATH"), Some("/opt/bin"));
        assert_eq!(get("HOME"), Some("/home/ann"));
        assert_eq!(get("LANG"), Some("C.UTF-8"));
        assert_eq!(get("SHELL"), None);
        assert_eq!(get("SSH_CONNECTION"), Some("192.0.2.1 99 192.0.2.2 2222"));
        assert!(compose(&[], &account, None, &[], ends).contains_key(std::ffi::OsStr::new("PATH")));
    }

    #[test]
    fn a_client_cannot_change_how_programs_load() {
        assert!(may_be_sent("LC_ALL") && may_be_sent("LANG"));
        assert!(!may_be_sent("LD_PRELOAD") && !may_be_sent("PATH") && !may_be_sent("BASH_ENV"));
    }
}
