use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{ChangeVm, Client, PublicKey, Vm};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::args::{Global, Waiting};
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::keys::lines_of;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::{Table, or_dash};
use crate::wait::{self, Goal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl keys web
  pwctl keys web --add ~/.ssh/id_ed25519.pub --remove SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY")]
pub(crate) struct Keys {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Public keys that may sign in from now on
    #[arg(long, value_name = "FILE", num_args = 1..)]
    add: Vec<PathBuf>,
    /// Keys that may no more: each by its fingerprint, or by its file
    #[arg(long, value_name = "FINGERPRINT|FILE", num_args = 1..)]
    remove: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
struct Shown {
    /// None of a key of a kind that this pwctl does not know.
    fingerprint: Option<String>,
    line: String,
}

impl Keys {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let mut vm = client.vm_get(&self.vm).await?;
        if !(self.add.is_empty() && self.remove.is_empty()) {
            vm = self.change(&client, vm, output).await?;
        }
        let keys: Vec<_> = vm.keys.into_iter().map(shown).collect();
        let fingerprints = || keys.iter().filter_map(|key| key.fingerprint.clone()).collect();
        output.list(&json!({ "items": keys, "next": null }), fingerprints, || {
            table(&keys)
        })
    }

    /// Asks for the keys as they shall be, and waits until the VM, where it runs, has them.
    async fn change(&self, client: &Client, vm: Vm, output: &Output) -> Result<Vm, Failure> {
        let added = lines_of(&self.add)?;
        let removed = fingerprints(&self.remove)?;
        let keys = changed(vm.keys, added, &removed).map_err(|key| Failure::NoSuchKey {
            key,
            vm: vm.name.clone(),
        })?;
        let change = ChangeVm {
            keys: Some(keys),
            ..ChangeVm::default()
        };
        // Whoever else changes the keys meanwhile is not overruled.
        let asked = client
            .vm_change_at(&vm.id.to_string(), vm.generation, &change)
            .await?;
        if self.waiting.no_wait {
            return Ok(asked);
        }
        let limit = Duration::from_secs(self.waiting.timeout);
        let told = wait::until(client, &asked, Goal::Told, limit, output).await?;
        Ok(told.unwrap_or(asked))
    }
}

/// The fingerprints that are meant; a file means all of its keys.
fn fingerprints(named: &[String]) -> Result<Vec<String>, Failure> {
    let mut fingerprints = Vec::new();
    for name in named {
        if name.starts_with("SHA256:") {
            fingerprints.push(name.clone());
            continue;
        }
        let lines = lines_of(&[Path::new(name).to_owned()])?;
        fingerprints.extend(lines.iter().filter_map(|line| fingerprint(line)));
    }
    Ok(fingerprints)
}

/// What the keys are after some were added and others removed; else the fingerprint that none of them has.
fn changed(held: Vec<String>, added: Vec<String>, removed: &[String]) -> Result<Vec<String>, String> {
    let of = |lines: &[String]| {
        lines
            .iter()
            .filter_map(|line| fingerprint(line))
            .collect::<Vec<_>>()
    };
    let there = of(&held);
    if let Some(missing) = removed.iter().find(|key| !there.contains(key)) {
        return Err(missing.clone());
    }
    let is_removed = |line: &String| fingerprint(line).is_some_and(|key| removed.contains(&key));
    let mut keys: Vec<_> = held.into_iter().filter(|line| !is_removed(line)).collect();
    for line in added {
        if fingerprint(&line).is_none_or(|key| !of(&keys).contains(&key)) {
            keys.push(line);
        }
    }
    Ok(keys)
}

fn fingerprint(line: &str) -> Option<String> {
    line.parse::<PublicKey>().ok().map(|key| key.fingerprint())
}

fn shown(line: String) -> Shown {
    Shown {
        fingerprint: fingerprint(&line),
        line,
    }
}

fn table(keys: &[Shown]) -> Table {
    let rows = keys.iter().map(|key| {
        let mut words = key.line.splitn(3, ' ');
        let (kind, comment) = (words.next(), words.nth(1));
        [
            or_dash(key.fingerprint.as_ref()).into(),
            or_dash(kind.as_ref()).into(),
            or_dash(comment.as_ref()).into(),
        ]
    });
    Table::new([Whole("FINGERPRINT"), Whole("TYPE"), Elastic("COMMENT")], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh one";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw two";
    const FROM_THE_FUTURE: &str = "ssh-mldsa65 AAAA";

    fn lines(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    #[test]
    fn keys_are_told_apart_by_what_they_are_and_not_by_their_comment() {
        let print = |line| fingerprint(line).unwrap();
        let held = || lines(&[FROM_THE_FUTURE, ONE]);
        let renamed = ONE.replace("one", "renamed");
        let added = changed(held(), lines(&[&renamed, TWO, TWO]), &[]).unwrap();
        assert_eq!(added, [FROM_THE_FUTURE, ONE, TWO]);
        let swapped = changed(held(), lines(&[TWO]), &[print(&renamed)]).unwrap();
        assert_eq!(swapped, [FROM_THE_FUTURE, TWO]);
        let renewed = changed(held(), lines(&[&renamed]), &[print(ONE)]).unwrap();
        assert_eq!(renewed, [FROM_THE_FUTURE, &renamed]);
        assert_eq!(changed(held(), vec![], &[print(TWO)]), Err(print(TWO)));
    }
}
