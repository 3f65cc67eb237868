//! The options that connect to a VM: its host key is pinned to what Pitwall knows, and nothing is asked.
//!
//! `KnownHostsCommand` (`ssh_config(5)`, OpenSSH 8.5 and later) hands the key over without a file that somebody
//! would have to remove; the known-hosts files of this person and machine are neither read nor written.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use api::Vm;

use crate::failure::Failure;

/// How `pwctl ssh` ends when it is pwctl that failed, as ssh itself does.
pub(crate) const OWN_FAILURE: u8 = 255;

/// Where and how to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    address: IpAddr,
    port: u16,
    login: String,
    host_key: String,
}

impl Target {
    /// The way into a VM.
    ///
    /// # Errors
    /// When it does not run, or what it takes to connect safely is not known.
    pub(crate) fn of(vm: &Vm) -> Result<Self, Failure> {
        if vm.status.known() != Some(api::Status::Running) {
            return Err(Failure::NotRunning {
                name: vm.name.clone(),
                status: vm.status.clone(),
            });
        }
        let unknown = || Failure::NoWayIn {
            name: vm.name.clone(),
        };
        let host_key = vm.host_key.as_deref().and_then(plain_key).ok_or_else(unknown)?;
        let login = plain_login(vm).ok_or_else(unknown)?;
        Ok(Self {
            address: vm.address.ok_or_else(unknown)?,
            port: vm.ssh_port.ok_or_else(unknown)?,
            login: login.to_owned(),
            host_key,
        })
    }
}

impl Target {
    /// Where the VM's SSH server listens.
    pub(crate) const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The first two words of a key line, if they are what a key line holds. It comes from a host and ends up in a
/// command that ssh runs.
pub(crate) fn plain_key(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    (is_plain(kind, "@.-") && is_plain(blob, "+/=")).then(|| format!("{kind} {blob}"))
}

/// The login name, if it is what one looks like.
pub(crate) fn plain_login(vm: &Vm) -> Option<&str> {
    vm.login.as_deref().filter(|login| is_plain(login, "._-"))
}

fn is_plain(text: &str, also: &str) -> bool {
    let is_word = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || also.contains(c));
    is_word && !text.is_empty() && !text.starts_with('-')
}

/// The arguments of ssh: options, destination, command.
pub(crate) fn arguments(
    target: &Target,
    identity: Option<&Path>,
    tty: bool,
    command: &[OsString],
) -> Vec<OsString> {
    let Target {
        address,
        port,
        login,
        host_key,
    } = target;
    // ssh looks a host up by its bare address only where the port is the default one.
    let known_as = match port {
        22 => address.to_string(),
        _ => format!("[{address}]:{port}"),
    };
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(identity) = identity {
        arguments.extend([
            "-i".into(),
            identity.into(),
            "-o".into(),
            "IdentitiesOnly=yes".into(),
        ]);
    }
    arguments.extend(["-p".into(), port.to_string().into()]);
    let options = [
        "StrictHostKeyChecking=yes".to_owned(),
        "UserKnownHostsFile=/dev/null".to_owned(),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        format!("KnownHostsCommand=/bin/echo {known_as} {host_key}"),
        // Right after a start the neighbour table may still hold the VM for absent; another attempt asks anew.
        "ConnectionAttempts=3".to_owned(),
        "CheckHostIP=no".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "PreferredAuthentications=publickey".to_owned(),
    ];
    arguments.extend(
        options
            .into_iter()
            .flat_map(|option| ["-o".into(), option.into()]),
    );
    if tty {
        arguments.push("-t".into());
    }
    arguments.extend(["--".into(), format!("{login}@{address}").into()]);
    arguments.extend_from_slice(command);
    arguments
}

/// The server's command line with the identity put first, for pasting into a shell.
pub(crate) fn line_with_identity(line: &str, identity: Option<&Path>) -> String {
    match (line.strip_prefix("ssh "), identity) {
        (Some(rest), Some(identity)) => format!("ssh -i {} {rest}", quoted(&identity.display().to_string())),
        (Some(_), None) | (None, _) => line.to_owned(),
    }
}

/// The text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    match is_plain(text.trim_start_matches('-'), "/._-+=:@%") {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh";

    fn vm(status: &str, host_key: Option<&str>) -> Vm {
        let vm = serde_json::json!({
            "id": "vm_00000000000000000000000000", "name": "web", "status": status, "image": "i", "cpus": 1,
            "memory_bytes": 1, "disk_bytes": 1, "power": "on", "generation": 1, "address": "172.30.0.3",
            "ssh_port": 2222, "login": "fred", "host_key": host_key, "created_at": "2026-11-22T09:00:00Z"
        });
        serde_json::from_value(vm).unwrap()
    }

    #[test]
    fn the_host_key_is_pinned_and_nothing_is_asked() {
        let target = Target::of(&vm("RUNNING", Some(KEY))).unwrap();
        let command = ["sh".into(), "-c".into(), "exit 3".into()];
        let arguments = arguments(&target, Some(Path::new("/k y")), true, &command);
        let arguments: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            arguments.join("|"),
            format!(
                "-i|/k y|-o|IdentitiesOnly=yes|-p|2222|-o|StrictHostKeyChecking=yes|-o|UserKnownHostsFile=/dev/null|\
                 -o|GlobalKnownHostsFile=/dev/null|-o|KnownHostsCommand=/bin/echo [172.30.0.3]:2222 {KEY}|\
                 -o|ConnectionAttempts=3|-o|CheckHostIP=no|-o|UpdateHostKeys=no|-o|PreferredAuthentications=publickey|-t|--|fred@172.30.0.3|\
                 sh|-c|exit 3"
            )
        );
    }

    #[test]
    fn without_a_known_host_key_there_is_no_way_in() {
        for bad in [
            None,
            Some(""),
            Some("ssh-ed25519"),
            Some("ssh-ed25519 $(reboot)"),
            Some("-x AAAA"),
        ] {
            assert!(
                matches!(Target::of(&vm("RUNNING", bad)), Err(Failure::NoWayIn { .. })),
                "{bad:?}"
            );
        }
        assert!(matches!(
            Target::of(&vm("STOPPED", Some(KEY))),
            Err(Failure::NotRunning { .. })
        ));
    }

    #[test]
    fn the_line_can_be_pasted() {
        let line = "ssh -p 2222 fred@172.30.0.3";
        assert_eq!(
            line_with_identity(line, Some(Path::new("/k/id"))),
            "ssh -i /k/id -p 2222 fred@172.30.0.3"
        );
        assert_eq!(
            line_with_identity(line, Some(Path::new("/k y/o'd"))),
            r"ssh -i '/k y/o'\''d' -p 2222 fred@172.30.0.3"
        );
        assert_eq!(line_with_identity(line, None), line);
    }
}
