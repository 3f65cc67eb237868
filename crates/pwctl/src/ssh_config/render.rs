//! Our files in `~/.ssh`, from what the server lists. Pure.

use std::path::{Path, PathBuf};

use api::Vm;

use super::names::Named;
use crate::names::full_name;
use crate::ssh::{plain_key, plain_login, quoted};

/// Beside the person's own file, which names it.
pub(super) const CONFIG: &str = "pitwall.config";
pub(super) const KNOWN_HOSTS: &str = "pitwall.known_hosts";

/// How it was set up. It stands in the file's head, so that it is renewed as it was made, by whomever.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Setup {
    pub(super) pwctl: PathBuf,
    pub(super) server: String,
    /// The options of pwctl that mean the server.
    pub(super) words: Vec<String>,
    pub(super) identities: Vec<PathBuf>,
}

const HEAD: &str = "# Made by pwctl config-ssh and renewed by pwctl. What is changed here is lost.\n";
const SETUP: &str = "# setup: ";

impl Setup {
    /// Reads it from the file.
    pub(super) fn read(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix(SETUP))?;
        serde_json::from_str(line).ok()
    }

    fn proxy(&self, name: &str) -> String {
        let own = self.pwctl.display().to_string();
        let words = std::iter::once(own).chain(self.words.iter().cloned());
        let words = words.chain(["ssh-proxy".to_owned(), name.to_owned()]);
        let line = words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
        // ssh takes a percent sign for the beginning of a value of its own.
        line.replace('%', "%%")
    }
}

/// The file of entries.
pub(super) fn config(setup: &Setup, known_hosts: &Path, hosts: &[Named]) -> String {
    let line = serde_json::to_string(setup).unwrap_or_default();
    let mut text = format!("{HEAD}{SETUP}{line}\n");
    for host in hosts {
        text.push_str(&entry(setup, known_hosts, host));
    }
    text
}

fn entry(setup: &Setup, known_hosts: &Path, host: &Named) -> String {
    let name = full_name(&host.vm);
    let mut lines = vec![format!("\nHost {}", host.names.join(" "))];
    // Known once it has booted.
    lines.extend(plain_login(&host.vm).map(|login| format!("User {login}")));
    let identities = setup.identities.iter();
    lines.extend(identities.map(|path| {
        format!(
            "IdentityFile \"{}\"",
            path.display().to_string().replace('%', "%%")
        )
    }));
    lines.extend([
        format!("HostKeyAlias {name}"),
        format!("ProxyCommand {}", setup.proxy(&name)),
        format!("UserKnownHostsFile {}", path(known_hosts)),
        "GlobalKnownHostsFile /dev/null".to_owned(),
        "StrictHostKeyChecking yes".to_owned(),
        "CheckHostIP no".to_owned(),
        "UpdateHostKeys no".to_owned(),
    ]);
    lines.join("\n    ") + "\n"
}

/// A path as one word of ssh's, which takes a percent sign for the beginning of a value of its own.
fn path(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// The lines of the file of host keys.
pub(super) fn known_hosts<'a>(vms: impl IntoIterator<Item = &'a Vm>) -> Vec<String> {
    vms.into_iter().flat_map(keys_of).collect()
}

/// Whether this VM stands in our two files as it is.
pub(super) fn is_current(config: &str, known: &str, vm: &Vm) -> bool {
    let login = plain_login(vm).map(|login| format!("    User {login}"));
    let has_login = |entry: &str| {
        login
            .as_ref()
            .is_none_or(|login| entry.lines().any(|line| line == login))
    };
    let is_told = known_hosts([vm])
        .iter()
        .all(|key| known.lines().any(|line| line == key));
    is_told && entry_of(config, vm).is_some_and(has_login)
}

/// The entry of this VM, where there is one.
pub(super) fn entry_of<'a>(config: &'a str, vm: &Vm) -> Option<&'a str> {
    let alias = format!("    HostKeyAlias {}", full_name(vm));
    let mut entries = config.split("\nHost ").skip(1);
    entries.find(|entry| entry.lines().any(|line| line == alias))
}

fn keys_of(vm: &Vm) -> Vec<String> {
    // A server of before tells the first key only.
    let first = vm.host_key.iter().filter(|_| vm.host_keys.is_empty());
    let keys = vm.host_keys.iter().chain(first).filter_map(|key| plain_key(key));
    keys.map(|key| format!("{} {key}", full_name(vm))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_through_pwctl_and_pins_the_key() {
        let setup = Setup {
            pwctl: "/opt/my tools/pwctl".into(),
            server: "http://127.0.0.1:7480".into(),
            words: vec!["--url".into(), "http://h/%7e".into()],
            identities: vec!["/k/id".into()],
        };
        let vm = serde_json::json!({
            "id": "vm_00000000000000000000000000", "name": "web", "owner": "ann", "status": "RUNNING", "image": "i", "cpus": 1,
            "memory_bytes": 1, "disk_bytes": 1, "power": "on", "generation": 1, "login": "fred",
            "host_key": "ssh-ed25519 AAAA", "host_keys": ["ssh-ed25519 AAAA", "ssh-rsa BBBB\nHost *"],
            "created_at": "2026-11-22T09:00:00Z"
        });
        let vm: Vm = serde_json::from_value(vm).unwrap();
        let host = Named {
            vm: vm.clone(),
            names: vec!["web".into(), "web.ann".into()],
        };
        let text = config(&setup, Path::new("/h/known"), &[host]);
        assert_eq!(Setup::read(&text), Some(setup));
        let entry = text.split_once("\n\n").unwrap().1;
        assert_eq!(
            entry,
            "Host web web.ann\n    User fred\n    IdentityFile \"/k/id\"\n    HostKeyAlias web.ann\n    ProxyCommand '/opt/my tools/pwctl' \
             --url http://h/%%7e ssh-proxy web.ann\n    UserKnownHostsFile \"/h/known\"\n    \
             GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    CheckHostIP no\n    UpdateHostKeys no\n"
        );
        let known = known_hosts([&vm]);
        assert_eq!(known, ["web.ann ssh-ed25519 AAAA", "web.ann ssh-rsa BBBB"]);

        let known = known.join("\n");
        assert!(is_current(&text, &known, &vm));
        let (mut renamed, mut of_others, mut new_key) = (vm.clone(), vm.clone(), vm.clone());
        renamed.login = Some("root".to_owned());
        of_others.owner = "bob".to_owned();
        new_key.host_keys = vec!["ssh-ed25519 CCCC".to_owned()];
        for other in [&renamed, &of_others, &new_key] {
            assert!(!is_current(&text, &known, other), "{other:?}");
        }
        assert!(entry_of(&text, &renamed).is_some() && entry_of(&text, &of_others).is_none());
    }
}
