//! The machine's name and whom it asks for names.
//!
//! These files belong to the person in the machine as well: in `/etc/hosts` only our own line is kept right, and
//! `resolv.conf` is written when it differs. A symbolic link is followed, inside the image's root, never replaced.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use wire::guest::Config;

use super::error::Error;
use super::kmsg;

/// Marks the line of `/etc/hosts` that is ours.
const MARK: &str = "# pitwall";

/// Sets host name, `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`. An image in which one of the files cannot
/// be written still makes a machine.
pub(super) fn apply(config: &Config) {
    if let Err(errno) = rustix::system::sethostname(config.hostname.as_bytes()) {
        kmsg::problem(&Error::File {
            operation: "set",
            path: "hostname".into(),
            source: errno.into(),
        });
    }
    let address = config.network.as_ref().map(|network| network.address);
    let resolvers = config
        .network
        .as_ref()
        .map(|network| network.resolvers.as_slice())
        .unwrap_or_default();
    let hosts = hosts(
        &fs::read_to_string("/etc/hosts").unwrap_or_default(),
        &config.hostname,
        address,
    );
    let files = [
        ("/etc/hostname", Some(format!("{}\n", config.hostname))),
        ("/etc/hosts", Some(hosts)),
        ("/etc/resolv.conf", resolv_conf(resolvers)),
    ];
    let _ = super::apifs::directory("/etc", 0o755);
    for (path, content) in files {
        let written = content.map(|content| write(Path::new(path), &content));
        if let Some(Err(source)) = written {
            kmsg::problem(&Error::File {
                operation: "write",
                path: path.into(),
                source,
            });
        }
    }
}

/// Writes only what differs: an idle machine's disk stays as it is.
fn write(path: &Path, content: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Ok(link) = fs::read_link(path)
        && let Some(folder) = path.parent().unwrap_or(Path::new("/")).join(link).parent()
    {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// Pure: the file with everything of the person's, and our line.
fn hosts(present: &str, hostname: &str, address: Option<Ipv4Addr>) -> String {
    let theirs: Vec<&str> = present
        .lines()
        .filter(|line| !line.trim_end().ends_with(MARK))
        .collect();
    let names_localhost = |line: &&str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|name| name == "localhost")
    };
    let mut text = String::new();
    if !theirs.iter().any(names_localhost) {
        text.push_str("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    }
    for line in theirs {
        text.push_str(line);
        text.push('\n');
    }
    let address = address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
    text.push_str(&format!("{address} {hostname} {MARK}\n"));
    text
}

/// Pure: `None` when there is nothing to say, and the image's own file stays.
fn resolv_conf(resolvers: &[IpAddr]) -> Option<String> {
    let lines: String = resolvers
        .iter()
        .map(|resolver| format!("nameserver {resolver}\n"))
        .collect();
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ones_own_in_hosts_survives_a_new_name() {
        let address = Some(Ipv4Addr::new(172, 30, 0, 3));
        let first = hosts("10.0.0.9 db\n", "one", address);
        assert!(first.starts_with("127.0.0.1 localhost\n::1 "), "{first}");
        assert!(
            first.ends_with("10.0.0.9 db\n172.30.0.3 one # pitwall\n"),
            "{first}"
        );
        let second = hosts(&first, "two", address);
        assert_eq!(second, first.replace(" one ", " two "));
        assert_eq!(hosts(&second, "two", address), second);
    }

    #[test]
    fn without_a_network_the_name_still_has_an_address() {
        assert!(hosts("", "one", None).ends_with("127.0.1.1 one # pitwall\n"));
    }

    #[test]
    fn a_link_to_nowhere_is_followed_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let (etc, run) = (root.path().join("etc"), root.path().join("run/resolve"));
        fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink("../run/resolve/stub.conf", etc.join("resolv.conf")).unwrap();
        write(&etc.join("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(
            fs::read_to_string(run.join("stub.conf")).unwrap(),
            "nameserver 192.0.2.1\n"
        );
        assert!(etc.join("resolv.conf").is_symlink());
    }

    #[test]
    fn no_resolvers_leave_the_file_alone() {
        assert_eq!(resolv_conf(&[]), None);
    }
}
