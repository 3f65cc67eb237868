//! The firewall, rendered. Pure: the same values give the same text.
//!
//! ```text
//!   frame of a VM ─► bridge table   its TAP, its MAC, its address, or the end; never to another TAP
//!                      │
//!                      ├─ to the host ─► ip table, input     answers and pings of the gateway only
//!                      └─ through it ──► ip table, forward   to the outbound interface only, masqueraded
//! ```
//!
//! What is new from outside to a VM is dropped too: the way in is through this host. Accepting here overrules no other
//! table's drop (nftables(8)); that is dealt with elsewhere.

use std::fmt;
use std::net::Ipv4Addr;

use model::{MacAddr, Subnet};

/// A chain without rules whose presence says that the host did not forward before we came. It is in our table because
/// that lives exactly as long as our being here does.
const FORWARDING_WAS_OFF: &str = "forwarding_was_off";

/// All of our rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The name of both tables.
    pub table: String,
    /// The bridge.
    pub bridge: String,
    /// The VMs' subnet.
    pub subnet: Subnet,
    /// Where packets leave; without one, none do.
    pub outbound: Option<String>,
    /// Whether forwarding has to be switched off at the end.
    pub forwarding_was_off: bool,
    /// Who may send through which TAP.
    pub senders: Vec<Sender>,
}

/// A VM, as the firewall knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its TAP.
    pub tap: String,
    /// The only MAC address it may use.
    pub mac: MacAddr,
    /// The only address it may use.
    pub address: Ipv4Addr,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" . {} . {}", self.tap, self.mac, self.address)
    }
}

/// The transaction that lets one more VM send.
pub(super) fn admit(table: &str, sender: &Sender) -> String {
    format!(
        "add element bridge {table} taps {{ \"{}\" }}\nadd element bridge {table} senders {{ {sender} }}\n",
        sender.tap
    )
}

/// The transaction that takes that back. An element that is not there would fail it, so each is added first.
pub(super) fn expel(table: &str, sender: &Sender) -> String {
    let admitted = admit(table, sender);
    format!("{admitted}{}", admitted.replace("add element", "delete element"))
}

/// Whether tables, as nft lists them, hold the mark.
pub(super) fn says_forwarding_was_off(listing: &str) -> bool {
    listing.lines().any(|line| {
        line.trim_start()
            .strip_prefix("chain ")
            .is_some_and(|name| name.starts_with(FORWARDING_WAS_OFF))
    })
}

impl fmt::Display for Ruleset {
    /// One transaction that puts these tables in the place of whatever was there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in ["ip", "bridge"] {
            writeln!(f, "add table {family} {}", self.table)?;
            writeln!(f, "delete table {family} {}", self.table)?;
        }
        self.packets(f)?;
        self.frames(f)
    }
}

impl Ruleset {
    fn packets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            bridge,
            subnet,
            outbound,
            ..
        } = self;
        let gateway = subnet.gateway();
        let out = outbound.as_deref();
        writeln!(f, "table ip {table} {{")?;
        if self.forwarding_was_off {
            writeln!(f, "\tchain {FORWARDING_WAS_OFF} {{\n\t}}")?;
        }
        writeln!(f, "\tchain to_host {{")?;
        writeln!(f, "\t\ttype filter hook input priority filter; policy accept;")?;
        writeln!(f, "\t\tiifname != \"{bridge}\" accept")?;
        writeln!(f, "\t\tct state established,related accept")?;
        writeln!(f, "\t\tip daddr {gateway} icmp type echo-request accept")?;
        writeln!(f, "\t\tdrop\n\t}}")?;
        writeln!(f, "\tchain through_host {{")?;
        writeln!(f, "\t\ttype filter hook forward priority filter; policy accept;")?;
        writeln!(f, "\t\tiifname \"{bridge}\" oifname \"{bridge}\" drop")?;
        if let Some(out) = out {
            writeln!(
                f,
                "\t\tiifname \"{bridge}\" oifname \"{out}\" ip saddr {subnet} accept"
            )?;
        }
        writeln!(f, "\t\tiifname \"{bridge}\" ct state established,related accept")?;
        writeln!(f, "\t\toifname \"{bridge}\" ct state established,related accept")?;
        writeln!(f, "\t\tiifname \"{bridge}\" drop")?;
        writeln!(f, "\t\toifname \"{bridge}\" drop\n\t}}")?;
        writeln!(f, "\tchain leaving {{")?;
        writeln!(f, "\t\ttype nat hook postrouting priority srcnat; policy accept;")?;
        if let Some(out) = out {
            writeln!(f, "\t\tip saddr {subnet} oifname \"{out}\" masquerade")?;
        }
        writeln!(f, "\t}}\n}}")
    }

    fn frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table bridge {} {{", self.table)?;
        writeln!(f, "\tset taps {{\n\t\ttype ifname")?;
        elements(f, self.senders.iter().map(|sender| format!("\"{}\"", sender.tap)))?;
        writeln!(
            f,
            "\t}}\n\tset senders {{\n\t\ttype ifname . ether_addr . ipv4_addr"
        )?;
        elements(f, self.senders.iter().map(Sender::to_string))?;
        writeln!(f, "\t}}\n\tchain from_vm {{")?;
        writeln!(
            f,
            "\t\tether type arp iifname . ether saddr . arp saddr ip @senders iifname . arp saddr ether . arp saddr ip @senders accept"
        )?;
        writeln!(
            f,
            "\t\tether type ip iifname . ether saddr . ip saddr @senders accept"
        )?;
        writeln!(f, "\t\tdrop\n\t}}")?;
        writeln!(f, "\tchain entering {{")?;
        writeln!(
            f,
            "\t\ttype filter hook prerouting priority dstnat; policy accept;"
        )?;
        writeln!(f, "\t\tiifname @taps jump from_vm\n\t}}")?;
        writeln!(f, "\tchain crossing {{")?;
        writeln!(f, "\t\ttype filter hook forward priority filter; policy accept;")?;
        writeln!(f, "\t\tiifname @taps oifname @taps drop\n\t}}\n}}")
    }
}

fn elements(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "\t\telements = {{\n\t\t\t{}\n\t\t}}", items.join(",\n\t\t\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(last: u8) -> Sender {
        let address = Ipv4Addr::new(172, 30, 0, last);
        Sender {
            tap: format!("pw-0-{last}"),
            mac: MacAddr::for_vm(address),
            address,
        }
    }

    fn ruleset() -> Ruleset {
        Ruleset {
            table: "pitwall".into(),
            bridge: "pwbr0".into(),
            subnet: Subnet::DEFAULT,
            outbound: Some("eth0".into()),
            forwarding_was_off: true,
            senders: vec![sender(3), sender(4)],
        }
    }

    fn golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap_or_default(),
            text,
            "{name}; UPDATE_GOLDEN=1 rewrites it"
        );
    }

    #[test]
    fn the_tables_are_those_of_the_golden_files() {
        golden("network.nft", &ruleset().to_string());
        let closed = Ruleset {
            outbound: None,
            forwarding_was_off: false,
            senders: Vec::new(),
            ..ruleset()
        };
        golden("network-closed.nft", &closed.to_string());
        golden("attach.nft", &admit("pitwall", &sender(3)));
        golden("detach.nft", &expel("pitwall", &sender(3)));
    }

    #[test]
    fn the_mark_is_found_again() {
        assert!(says_forwarding_was_off(&ruleset().to_string()));
        assert!(!says_forwarding_was_off(
            &Ruleset {
                forwarding_was_off: false,
                ..ruleset()
            }
            .to_string()
        ));
    }
}
