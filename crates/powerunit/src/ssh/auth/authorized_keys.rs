//! The lines of an `authorized_keys` file (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
//!
//! Always holds: an option that we do not obey makes its line open nothing. An option restricts a key more often than
//! not, so a line without it would give what its writer withheld.

use std::collections::HashMap;
use std::net::IpAddr;

use russh::keys::PublicKey;
use russh::keys::ssh_key::public::KeyData;

use super::grant::Grant;
use super::{sources, strength};
use crate::ssh::permissions::Permissions;

/// One key and what its line gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: KeyData,
    from: Option<String>,
    grant: Grant,
}

/// Pure: what the first line that holds this key, and lets it come from this address, gives.
pub(super) fn grant(text: &str, key: &KeyData, address: IpAddr) -> Option<Grant> {
    let admits = |entry: &Entry| {
        let from_here = |list: &String| sources::matches(list, address);
        entry.key == *key && entry.from.as_ref().is_none_or(from_here)
    };
    text.lines()
        .filter_map(parse)
        .find(admits)
        .map(|entry| entry.grant)
}

/// Pure: the lines of a file that were not in the image's. A line that stands there more often than in the image's
/// was written once more: whoever copies the image's own key in means it.
pub(super) fn written_later(present: &str, image: &str) -> String {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for line in image.lines() {
        let count = known.entry(line.trim()).or_default();
        *count = count.saturating_add(1);
    }
    let is_new = |line: &&str| match known.get_mut(line.trim()) {
        Some(left) if *left > 0 => {
            *left = left.saturating_sub(1);
            false
        }
        Some(_) | None => true,
    };
    present
        .lines()
        .filter(is_new)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// One line; `None` for a comment and for whatever must open nothing.
fn parse(line: &str) -> Option<Entry> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    if let Some(key) = public_key(line) {
        return Some(Entry {
            key,
            from: None,
            grant: Grant::EVERYTHING,
        });
    }
    let (options, rest) = split_options(line)?;
    let (grant, from) = obey(&list(options)?)?;
    Some(Entry {
        key: public_key(rest)?,
        from,
        grant,
    })
}

/// `TYPE BASE64 [COMMENT]`.
fn public_key(text: &str) -> Option<KeyData> {
    let mut words = text.split_whitespace();
    let (kind, data) = (words.next()?, words.next()?);
    let key = PublicKey::from_openssh(&format!("{kind} {data}")).ok()?;
    strength::suffices(key.key_data()).then(|| key.key_data().clone())
}

/// The options end at the first blank outside of quotes.
fn split_options(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    let blank = line.find(|character: char| {
        let is_end = character.is_whitespace() && !quoted;
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        is_end
    });
    line.split_at_checked(blank?)
}

/// `NAME` and `NAME="VALUE"`, with `\"` for a quote inside; `None` when it is anything else.
fn list(options: &str) -> Option<Vec<(String, Option<String>)>> {
    let mut all = Vec::new();
    let mut rest = options;
    loop {
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end)?;
        let (value, behind) = match behind.strip_prefix("=\"") {
            Some(quoted) => value(quoted).map(|(value, behind)| (Some(value), behind))?,
            None => (None, behind),
        };
        all.push((name.to_ascii_lowercase(), value));
        if behind.is_empty() {
            return Some(all);
        }
        rest = behind.strip_prefix(',')?;
    }
}

/// The text up to the closing quote, and what stands behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' if characters.as_str().starts_with('"') => value.extend(characters.next()),
            character => value.push(character),
        }
    }
}

/// In their order, as sshd does: `restrict,pty` gives a terminal and nothing else.
fn obey(options: &[(String, Option<String>)]) -> Option<(Grant, Option<String>)> {
    let (mut forced_command, mut from) = (None, None);
    let mut permissions = Permissions::ALL;
    for (name, value) in options {
        match (name.as_str(), value) {
            ("command", Some(command)) if forced_command.is_none() => forced_command = Some(command.clone()),
            ("from", Some(list)) if from.is_none() => from = Some(list.clone()),
            ("restrict", None) => permissions = Permissions::NONE,
            ("pty", None) => permissions.terminal = true,
            ("no-pty", None) => permissions.terminal = false,
            ("port-forwarding", None) => permissions.forwarding = true,
            ("no-port-forwarding", None) => permissions.forwarding = false,
            ("agent-forwarding", None) => permissions.agent = true,
            ("no-agent-forwarding", None) => permissions.agent = false,
            // There is neither X11 forwarding nor ~/.ssh/rc, and touch is not looked at.
            (
                "x11-forwarding" | "no-x11-forwarding" | "user-rc" | "no-user-rc" | "no-touch-required",
                None,
            ) => {}
            // As sshd where PermitUserEnvironment is not set: it would let a key change how programs load.
            ("environment", Some(_)) => {}
            _ => return None,
        }
    }
    let grant = Grant {
        forced_command,
        permissions,
    };
    Some((grant, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7x9ln6uZLLkfXM8iatrnAAuytVHeCznU8VlEgx7TvL";
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn given(text: &str) -> Option<Grant> {
        grant(text, &public_key(KEY).unwrap(), HERE)
    }

    fn with(change: impl FnOnce(&mut Permissions)) -> Option<Grant> {
        let mut grant = Grant::EVERYTHING;
        change(&mut grant.permissions);
        Some(grant)
    }

    #[test]
    fn a_plain_line_gives_everything_to_its_key_only() {
        for text in [
            KEY.to_owned(),
            format!("# mine\n\n  {KEY}\tann@example  with blanks\r\n"),
            format!("{OTHER} b\n{KEY} a"),
            KEY.replace(' ', "  \t"),
        ] {
            assert_eq!(given(&text), Some(Grant::EVERYTHING), "{text}");
        }
        for text in ["", "#", OTHER, "nonsense", "ssh-ed25519", "ssh-ed25519 !!!!"] {
            assert_eq!(given(text), None, "{text}");
        }
        assert_eq!(given(&format!("#{KEY}")), None);
    }

    #[test]
    fn options_are_obeyed_in_their_order() {
        let line = |options: &str| given(&format!("{options} {KEY} comment"));
        let nothing = with(|all| *all = Permissions::NONE);
        assert_eq!(line("no-pty"), with(|all| all.terminal = false));
        assert_eq!(line("No-Port-Forwarding"), with(|all| all.forwarding = false));
        assert_eq!(line("restrict"), nothing);
        assert_eq!(line("pty,restrict"), nothing);
        let terminal = Permissions {
            terminal: true,
            ..Permissions::NONE
        };
        assert_eq!(line("restrict,pty"), with(|all| *all = terminal));
        let forced = line(r#"command="say \"a, b\" \n",no-agent-forwarding"#).unwrap();
        assert_eq!(forced.forced_command.as_deref(), Some(r#"say "a, b" \n"#));
        assert!(forced.permissions.terminal && !forced.permissions.agent);
        assert_eq!(
            line("no-user-rc,no-X11-forwarding,environment=\"A=b\""),
            with(|_| {})
        );
    }

    #[test]
    fn what_is_not_obeyed_opens_nothing() {
        for options in [
            "cert-authority",
            "permitopen=\"host:1\"",
            "expiry-time=\"20200101\"",
            "verify-required",
            "no-such-option",
            "no-pty=\"yes\"",
            "command=open",
            "command=\"open",
            "command=\"a\",command=\"b\"",
            "command=\"a\"no-pty",
            "command",
            "from",
            "environment",
            "no-pty,",
            ",",
            "principals=\"ann\",cert-authority",
        ] {
            assert_eq!(given(&format!("{options} {KEY}")), None, "{options}");
        }
    }

    #[test]
    fn a_line_for_another_address_is_passed_over() {
        assert_eq!(
            given(&format!("from=\"192.0.2.0/24\" {KEY}")),
            Some(Grant::EVERYTHING)
        );
        let elsewhere = format!("from=\"198.51.100.*,!192.0.2.7\" {KEY}\n");
        assert_eq!(given(&elsewhere), None);
        let also_here = format!("{elsewhere}no-pty {KEY}\n");
        assert_eq!(given(&also_here), with(|all| all.terminal = false));
    }

    #[test]
    fn lines_of_the_image_are_taken_away_once_each() {
        let image = format!("{OTHER} build\n");
        assert_eq!(written_later(&image, &image), "");
        assert_eq!(written_later(&image, ""), image);
        let appended = format!("{OTHER} build\r\n{KEY} ann\n");
        assert_eq!(written_later(&appended, &image), format!("{KEY} ann\n"));
        let again = format!("{image}{image}");
        assert_eq!(written_later(&again, &image), image);
    }

    #[test]
    fn a_short_rsa_key_opens_nothing() {
        assert!(parse(strength::tests::RSA_1024).is_none());
        assert!(parse(strength::tests::RSA_2048).is_some());
    }
}
