//! Tools that drop forwarded packets, Docker first among them, and the way past them.
//!
//! No `accept` in a table of ours can overrule a `drop` in another table; only a rule in the chain that drops can.
//! So such a chain gets one pair of rules, marked with a comment, at its head:
//!
//! ```text
//!   DOCKER-USER, else FORWARD     -i pwbr0 -m comment --comment pitwall -j ACCEPT
//!                                 -o pwbr0 -m comment --comment pitwall -j ACCEPT
//! ```
//!
//! They admit packets to our own table's judgement, no further. iptables has two worlds (`-nft`, `-legacy`), each
//! looked at only where it is in use: asking the legacy program about a table would load its kernel module.

use super::nft::{self, Chain};
use super::program::Run;
use crate::hands::{Drops, HandsError};

const MARK: &str = "pitwall";
const PREFERRED: &str = "DOCKER-USER";
const FORWARD: &str = "FORWARD";

/// The world of iptables that a rule lives in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    Nft,
    Legacy,
}

impl World {
    const BOTH: [Self; 2] = [Self::Nft, Self::Legacy];

    const fn program(self) -> &'static str {
        match self {
            Self::Nft => "iptables-nft",
            Self::Legacy => "iptables-legacy",
        }
    }

    async fn run(self, operation: &'static str, arguments: &[&str]) -> Result<String, HandsError> {
        let arguments: Vec<&str> = ["-w", "5"].iter().chain(arguments).copied().collect();
        Run {
            program: self.program(),
            operation,
            arguments: &arguments,
            input: "",
        }
        .output()
        .await
    }

    /// The rules of its filter table in the form of `iptables -S`; none where that world is not in use.
    async fn rules(self, chains: &[Chain]) -> Result<Option<String>, HandsError> {
        let in_use = match self {
            Self::Nft => chains.iter().any(is_filter_chain),
            Self::Legacy => legacy_in_use(),
        };
        if !in_use {
            return Ok(None);
        }
        match self.run("list the filter table", &["-S"]).await {
            Ok(rules) => Ok(Some(rules)),
            Err(HandsError::Run { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_filter_chain(chain: &Chain) -> bool {
    chain.family == "ip" && chain.table == "filter"
}

/// The kernel lists the legacy tables of this network namespace that are in use.
fn legacy_in_use() -> bool {
    std::fs::read_to_string("/proc/thread-self/net/ip_tables_names")
        .is_ok_and(|names| names.lines().any(|name| name == "filter"))
}

/// The chain to open, in a listing of `iptables -S`: none if nothing there drops forwarded packets.
fn chain_to_open(rules: &str) -> Option<&'static str> {
    let has = |line: &str| rules.lines().any(|rule| rule == line);
    if has("-N DOCKER-USER") {
        Some(PREFERRED)
    } else if has("-P FORWARD DROP") {
        Some(FORWARD)
    } else {
        None
    }
}

fn pair(bridge: &str) -> [[&str; 8]; 2] {
    ["-i", "-o"].map(|direction| {
        [
            direction,
            bridge,
            "-m",
            "comment",
            "--comment",
            MARK,
            "-j",
            "ACCEPT",
        ]
    })
}

/// How often the rule stands in the chain.
fn count(rules: &str, chain: &str, rule: &[&str]) -> usize {
    let line = format!("-A {chain} {}", rule.join(" "));
    rules.lines().filter(|found| *found == line).count()
}

/// Who drops forwarded packets here.
pub(super) async fn drops() -> Result<Drops, HandsError> {
    let chains = nft::chains().await?;
    let mut drops = Drops::default();
    for world in World::BOTH {
        if let Some(chain) = world.rules(&chains).await?.as_deref().and_then(chain_to_open) {
            drops.mendable.push(format!("{chain} of {}", world.program()));
        }
    }
    let mendable = |chain: &Chain| is_filter_chain(chain) && !drops.mendable.is_empty();
    let others = chains.iter().filter(|chain| {
        chain.drops_forwarded() && matches!(chain.family.as_str(), "ip" | "inet") && !mendable(chain)
    });
    drops.others = others
        .map(|chain| format!("{} {} {}", chain.family, chain.table, chain.name))
        .collect();
    Ok(drops)
}

/// Whether each such chain has the pair.
pub(super) async fn admitted(bridge: &str) -> Result<bool, HandsError> {
    let chains = nft::chains().await?;
    for world in World::BOTH {
        let rules = world.rules(&chains).await?.unwrap_or_default();
        let lacks = |chain| pair(bridge).iter().any(|rule| count(&rules, chain, rule) == 0);
        if chain_to_open(&rules).is_some_and(lacks) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sees to it that each such chain begins with the pair, once. True if something was missing.
pub(super) async fn admit(bridge: &str) -> Result<bool, HandsError> {
    let chains = nft::chains().await?;
    let mut changed = false;
    for world in World::BOTH {
        let Some(rules) = world.rules(&chains).await? else {
            continue;
        };
        let Some(chain) = chain_to_open(&rules) else {
            continue;
        };
        for rule in pair(bridge) {
            if count(&rules, chain, &rule) == 0 {
                let insert: Vec<&str> = ["-I", chain, "1"].iter().chain(&rule).copied().collect();
                world.run("add a rule", &insert).await?;
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// Takes the pair out of every chain that may have it.
pub(super) async fn expel(bridge: &str) -> Result<(), HandsError> {
    let chains = nft::chains().await?;
    for world in World::BOTH {
        let Some(rules) = world.rules(&chains).await? else {
            continue;
        };
        for chain in [PREFERRED, FORWARD] {
            for rule in pair(bridge) {
                for _ in 0..count(&rules, chain, &rule) {
                    let delete: Vec<&str> = ["-D", chain].iter().chain(&rule).copied().collect();
                    world.run("take a rule away", &delete).await?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_dockers_own_before_forward() {
        assert_eq!(
            chain_to_open("-P FORWARD DROP\n-N DOCKER-USER\n"),
            Some("DOCKER-USER")
        );
        assert_eq!(
            chain_to_open("-P INPUT ACCEPT\n-P FORWARD DROP\n"),
            Some("FORWARD")
        );
        assert_eq!(chain_to_open("-P FORWARD ACCEPT\n-N DOCKER-ISOLATION\n"), None);
    }

    #[test]
    fn only_the_marked_rule_counts() {
        let rules =
            "-A FORWARD -i pwbr0 -j ACCEPT\n-A FORWARD -i pwbr0 -m comment --comment pitwall -j ACCEPT\n";
        let [inwards, outwards] = pair("pwbr0");
        assert_eq!(count(rules, "FORWARD", &inwards), 1);
        assert_eq!(count(rules, "FORWARD", &outwards), 0);
        assert_eq!(count(rules, "DOCKER-USER", &inwards), 0);
    }
}
