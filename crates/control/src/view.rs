//! What callers see.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use model::{
    Asked, Capacity, Digest, Feature, HeldImage, HostId, HostName, InstallationId, Power, PublicKey, Reason,
    ReasonCode, Right, Seen, ServiceSeen, Stage, Status, VmBody, VmId,
};
use store::{Life, Owner, Refused, Vm};

use crate::Labels;
use crate::life::removed_at;

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmView {
    /// What was asked.
    pub asked: Asked,
    /// What was seen of this placement; `None` before the host has spoken of it.
    pub seen: Option<Seen>,
    /// The word people read.
    pub status: Status,
    /// Why.
    pub reason: Option<Reason>,
    /// How far the present stage has come.
    pub stage: Option<Stage>,
    /// The host it is placed on.
    pub host: HostId,
    /// That host's name.
    pub host_name: HostName,
    /// Who owns it.
    pub owner: Owner,
    /// What the one who asked may do with it; `None` where that is nothing any more.
    pub access: Option<Right>,
    /// The keys of this VM alone; what it accepts also holds those of its people.
    pub own_keys: Vec<PublicKey>,
    /// Whether the keys of its owner's account open it.
    pub account_keys: bool,
    /// How long it lives.
    pub life: Life,
    /// Its labels.
    pub labels: Labels,
    /// When it was created or adopted.
    pub created_at: Timestamp,
}

impl VmView {
    pub(crate) fn new(vm: Vm, stage: Option<Stage>) -> Self {
        let view = status_of(&vm);
        let stage = if view.status.is_settled() { None } else { stage };
        let placement = vm.asked.placement;
        Self {
            status: view.status,
            reason: view.reason,
            stage,
            seen: vm.seen.filter(|seen| seen.placement == placement),
            asked: vm.asked,
            owner: vm.owner,
            access: vm.access,
            own_keys: vm.own_keys,
            account_keys: vm.account_keys,
            labels: vm.labels,
            life: vm.life,
            host: vm.host,
            host_name: vm.host_name,
            created_at: vm.created_at,
        }
    }

    /// When it goes, once its grace has begun.
    pub fn removed_at(&self) -> Option<Timestamp> {
        removed_at(&self.life)
    }

    /// The address, from when it is leased.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.seen.as_ref()?.address
    }

    /// The port of the SSH server.
    pub fn ssh_port(&self) -> Option<u16> {
        self.seen.as_ref()?.ssh_port
    }

    /// The login name to use.
    pub fn login(&self) -> Option<&str> {
        self.seen.as_ref()?.login.as_deref()
    }

    /// The SSH server's host keys, `TYPE BASE64` each.
    pub fn host_keys(&self) -> &[String] {
        self.seen.as_ref().map_or(&[], |seen| seen.host_keys.as_slice())
    }

    /// The manifest that the image was resolved to.
    pub fn image_digest(&self) -> Option<Digest> {
        self.seen.as_ref()?.image_digest
    }

    /// How its service is, where there is one.
    pub fn service(&self) -> Option<&ServiceSeen> {
        self.seen.as_ref()?.service.as_ref()
    }

    /// The command line that opens a shell, once address, port, login and host key are known.
    pub fn ssh(&self) -> Option<String> {
        let host_key = self.host_keys().first()?;
        ssh_command(self.address()?, self.ssh_port()?, self.login()?, host_key)
    }
}

pub(crate) fn status_of(vm: &Vm) -> model::StatusView {
    match vm.owner.disabled && vm.asked.body.power == Power::On {
        true => kept_off(vm),
        false => model::status(&vm.asked, vm.seen.as_ref(), vm.host_silent),
    }
}

/// Where a VM stands that its host is told to be off, although it is asked to run.
fn kept_off(vm: &Vm) -> model::StatusView {
    let mut told = vm.asked.clone();
    told.body.power = Power::Off;
    let mut view = model::status(&told, vm.seen.as_ref(), vm.host_silent);
    if matches!(view.status, Status::Init | Status::Stopping | Status::Stopped) {
        let owner = &vm.owner.name;
        view.reason = Some(Reason::lasting(
            ReasonCode::OwnerDisabled,
            format!("its owner {owner} is disabled, which keeps it off"),
            format!("an admin can enable the user again: pwctl user enable {owner}"),
        ));
    }
    view
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: HostName,
    /// The version of its orchestrator.
    pub version: String,
    /// Whether it has not reported for too long.
    pub silent: bool,
    /// When its newest report came.
    pub last_report_at: Timestamp,
    /// The other installation that it obeys; it takes nothing from this one.
    pub other_installation: Option<InstallationId>,
    /// What it can hold, once it said so.
    pub capacity: Option<Capacity>,
    /// What is asked of it, those being removed included.
    pub booked: Capacity,
    /// What it can do.
    pub features: BTreeSet<Feature>,
    /// The images it holds.
    pub images: Vec<HeldImage>,
    /// The number of the newest plan made for it.
    pub plan: u64,
    /// The number of the newest plan it accepted.
    pub accepted_plan: u64,
    /// The plan it refused last, if it accepted none since.
    pub refused: Option<Refused>,
    /// How many VMs are asked of it.
    pub vms: u64,
    /// How many VMs were found on it.
    pub found: u64,
}

/// A VM that a host has and that nobody here asked for. It keeps running until it is adopted or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundView {
    /// The VM.
    pub vm: VmId,
    /// The host that has it.
    pub host: HostId,
    /// That host's name.
    pub host_name: HostName,
    /// What the host sees of it.
    pub seen: Seen,
    /// What the host holds of its wish; `None` where that is damaged.
    pub body: Option<VmBody>,
    /// When its host reported last.
    pub observed_at: Timestamp,
}

/// An image that hosts hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView {
    /// Its manifest.
    pub digest: Digest,
    /// The references it was pulled by, on any host.
    pub references: BTreeSet<String>,
    /// Bytes it takes on a host's disk: the most on any.
    pub size_bytes: u64,
    /// The hosts that hold it.
    pub hosts: BTreeSet<HostName>,
}

/// The command line that opens a shell in a VM and asks nothing: the host key is pinned to what Pitwall knows, and
/// no file of the caller's is read or written for it (`ssh_config(5)`: `KnownHostsCommand`, OpenSSH 8.5 and later).
///
/// `None` where login or host key hold anything that does not belong there; both come from a host, and the line is
/// made to be pasted into a shell.
pub fn ssh_command(address: Ipv4Addr, port: u16, login: &str, host_key: &str) -> Option<String> {
    let mut words = host_key.split(' ');
    let (kind, blob) = (words.next()?, words.next()?);
    if !is_plain(kind, "@.-") || !is_plain(blob, "+/=") || !is_plain(login, "._-") || login.starts_with('-') {
        return None;
    }
    // ssh looks a host up by its bare address only where the port is the default one.
    let known_as = match port {
        22 => address.to_string(),
        _ => format!("[{address}]:{port}"),
    };
    // Right after a start the host's neighbour table may still hold the VM for absent; the second attempt asks anew.
    Some(format!(
        "ssh -p {port} -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null \
         -o GlobalKnownHostsFile=/dev/null -o 'KnownHostsCommand=/bin/echo {known_as} {kind} {blob}' \
         -o IdentitiesOnly=yes -o ConnectionAttempts=3 {login}@{address}"
    ))
}

fn is_plain(text: &str, also: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);

    #[test]
    fn the_line_pins_the_key_and_asks_nothing() {
        let line = ssh_command(ADDRESS, 2222, "fred", "ssh-ed25519 AAAAC3Nz+/= comment").unwrap();
        assert_eq!(
            line,
            "ssh -p 2222 -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null \
             -o GlobalKnownHostsFile=/dev/null \
             -o 'KnownHostsCommand=/bin/echo [172.30.0.3]:2222 ssh-ed25519 AAAAC3Nz+/=' \
             -o IdentitiesOnly=yes -o ConnectionAttempts=3 fred@172.30.0.3"
        );
        let default_port = ssh_command(ADDRESS, 22, "fred", "ssh-ed25519 AAAA").unwrap();
        assert!(
            default_port.contains("/bin/echo 172.30.0.3 ssh-ed25519 AAAA'"),
            "{default_port}"
        );
    }

    #[test]
    fn nothing_that_a_shell_or_ssh_would_obey_gets_into_the_line() {
        for login in ["", "-oProxyCommand=x", "a b", "a;b", "$(id)", "a'b", "a@b"] {
            assert_eq!(
                ssh_command(ADDRESS, 2222, login, "ssh-ed25519 AAAA"),
                None,
                "{login}"
            );
        }
        for host_key in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 ",
            "a' b",
            "ssh-ed25519 AA%h",
            "ssh-ed25519 AA\nb",
        ] {
            assert_eq!(ssh_command(ADDRESS, 2222, "fred", host_key), None, "{host_key}");
        }
    }

    #[test]
    fn openssh_understands_the_line() {
        let line = ssh_command(ADDRESS, 2222, "fred", "ssh-ed25519 AAAAC3Nz").unwrap();
        let shown = Command::new("sh")
            .arg("-c")
            .arg(line.replacen("ssh ", "ssh -F none -G ", 1))
            .output();
        let shown = match shown {
            Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
            _ if std::env::var("CI").as_deref() == Ok("true") => panic!("CI needs the ssh client"),
            _ => return println!("skipped: there is no working ssh client"),
        };
        for expected in [
            "user fred",
            "hostname 172.30.0.3",
            "port 2222",
            "stricthostkeychecking true",
            "userknownhostsfile /dev/null",
            "globalknownhostsfile /dev/null",
            "identitiesonly yes",
            "knownhostscommand /bin/echo [172.30.0.3]:2222 ssh-ed25519 AAAAC3Nz",
        ] {
            assert!(
                shown.lines().any(|line| line == expected),
                "{expected} is not in\n{shown}"
            );
        }
    }
}
