//! The machine's name and whom it asks for names.
//!
//! These files belong to the person in the machine as well. In `/etc/hosts` only our own line is kept right.
//! `/etc/hostname` and `/etc/resolv.conf` are ours while they hold what the image brought or what was written here
//! last; that is remembered in an attribute of the file. One that says anything else is somebody's own and stays. A
//! symbolic link is followed, inside the image's root, never replaced.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags};
use wire::guest::Config;

use super::error::Error;
use super::kmsg;

/// Marks the line of `/etc/hosts` that is ours.
const MARK: &str = "# pitwall";

/// The attribute that holds what was written here last. Only root sees it (xattr(7), "Trusted extended attributes").
const WRITTEN: &str = "trusted.powerunit";
/// More than these files ever hold.
const WRITTEN_BYTES: usize = 4096;

/// Sets host name, `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, when the machine starts and for a newer
/// configuration than `before`. An image in which one of the files cannot be written still makes a machine.
pub(super) fn apply(config: &Config, before: Option<&Config>, image: &impl AsFd) {
    if before.is_none_or(|before| before.hostname != config.hostname)
        && let Err(errno) = rustix::system::sethostname(config.hostname.as_bytes())
    {
        kmsg::problem(&Error::file("set", "hostname")(errno.into()));
    }
    let network = config.network.as_ref();
    let hosts = hosts(
        &fs::read_to_string("/etc/hosts").unwrap_or_default(),
        &config.hostname,
        network.map(|network| network.address),
    );
    let resolvers = network
        .map(|network| network.resolvers.as_slice())
        .unwrap_or_default();
    let _ = super::apifs::directory("/etc", 0o755);
    let hosts_file = Path::new("/etc/hosts");
    report(hosts_file, write(hosts_file, &hosts));
    for (name, content) in [
        ("etc/hostname", Some(format!("{}\n", config.hostname))),
        ("etc/resolv.conf", resolv_conf(resolvers)),
    ] {
        let Some(content) = content else { continue };
        let path = Path::new("/").join(name);
        report(&path, renew(&path, &content, of_image(image.as_fd(), name)));
    }
}

fn report(path: &Path, done: io::Result<()>) {
    if let Err(source) = done {
        kmsg::problem(&Error::file("write", path)(source));
    }
}

/// What the image itself has under a name, if that is a file.
fn of_image(image: BorrowedFd<'_>, name: &str) -> Option<String> {
    let file = rustix::fs::openat(
        image,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let mut text = String::new();
    File::from(file.ok()?).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes a file unless it is somebody's own.
fn renew(path: &Path, content: &str, of_image: Option<String>) -> io::Result<()> {
    let present = fs::read_to_string(path).ok();
    let ours = present.is_none()
        || present.as_deref() == Some(content)
        || present == of_image
        || present.as_deref().map(str::as_bytes) == written(path).as_deref();
    if !ours {
        return Ok(());
    }
    write(path, content)?;
    if written(path).as_deref() != Some(content.as_bytes()) {
        // Without the attribute the file counts as somebody's own from now on, which is safe.
        let _ = rustix::fs::setxattr(path, WRITTEN, content.as_bytes(), XattrFlags::empty());
    }
    Ok(())
}

fn written(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; WRITTEN_BYTES];
    let length = rustix::fs::getxattr(path, WRITTEN, &mut value).ok()?;
    value.truncate(length);
    Some(value)
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
    fn what_somebody_wrote_stays_and_what_the_image_brought_does_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("resolv.conf");
        let first = "nameserver 192.0.2.1\n";
        let of_image = || Some("nameserver 10.0.0.1\n".to_owned());
        fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
        renew(&path, first, of_image()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        let second = "nameserver 192.0.2.2\n";
        if written(&path).is_some() {
            renew(&path, second, of_image()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), second);
        } else {
            println!("not looked at: trusted attributes need root");
        }
        fs::write(&path, "nameserver 203.0.113.9\n").unwrap();
        renew(&path, first, of_image()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "nameserver 203.0.113.9\n");
    }

    #[test]
    fn no_resolvers_leave_the_file_alone() {
        assert_eq!(resolv_conf(&[]), None);
    }
}
