//! The host's network: what VMs are attached to, and whether their packets come through.

use std::path::Path;

use orchestrator::hands::RootHands;
use orchestrator::network::Survey;

use super::finding::{Finding, bad, note, well};
use super::fix::Fix;
use crate::config::Settings;
use crate::parts;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![tun(Path::new("/dev/net/tun").exists())];
    match Survey::take(&parts::network(settings), &RootHands).await {
        Ok(survey) => findings.extend(judge(&survey, settings)),
        Err(error) => findings.push(bad(
            "network",
            control::chain(&error),
            "run the doctor as root, with nftables installed",
        )),
    }
    findings.push(resolvers(settings));
    findings
}

fn tun(exists: bool) -> Finding {
    if exists {
        well("tun", "/dev/net/tun")
    } else {
        bad("tun", "/dev/net/tun is not there", Fix::LoadModule("tun"))
    }
}

/// Pure: what a survey means.
fn judge(survey: &Survey, settings: &Settings) -> Vec<Finding> {
    vec![
        network(survey, settings),
        forwarding(survey),
        other_firewalls(survey, &settings.bridge),
        outbound(survey),
    ]
}

fn network(survey: &Survey, settings: &Settings) -> Finding {
    let (bridge, subnet) = (&settings.bridge, settings.subnet);
    if let Some(overlap) = &survey.overlap {
        return bad("network", overlap.clone(), "pitwall up --subnet, with a free one");
    }
    match (survey.bridge, survey.tables) {
        (true, true) => well("network", format!("{bridge} is there, for {subnet}")),
        (true, false) => bad(
            "network",
            format!("{bridge} is there, and its firewall is not: VMs reach each other and this host"),
            Fix::SetUpNetwork,
        ),
        (false, _) => note(
            "network",
            format!("{bridge} is not there yet; pitwall up makes it, for {subnet}"),
            "pitwall orchestrator --setup",
        ),
    }
}

fn forwarding(survey: &Survey) -> Finding {
    match (survey.bridge, survey.forwards) {
        (_, true) => well("forwarding", "on"),
        (true, false) => bad(
            "forwarding",
            "off: VMs reach nothing outside this host",
            Fix::Forward,
        ),
        // Whoever makes the network notes that it was off, and switches it off again at the end.
        (false, false) => well("forwarding", "off; pitwall up switches it on"),
    }
}

fn other_firewalls(survey: &Survey, bridge: &str) -> Finding {
    const WHAT: &str = "firewalls";
    let drops = &survey.drops;
    if let Some(chain) = drops.others.first() {
        return note(
            WHAT,
            format!("the chain {chain} drops forwarded packets, so VMs may not reach the outside"),
            format!("accept what comes from {bridge} and goes to it there"),
        );
    }
    if drops.mendable.is_empty() {
        return well(WHAT, "no other one drops forwarded packets");
    }
    let chains = drops.mendable.join(", ");
    match (survey.bridge, survey.admitted) {
        (true, false) => bad(
            WHAT,
            format!("{chains} drops forwarded packets and lets none of {bridge} pass"),
            Fix::Admit,
        ),
        (true, true) => well(
            WHAT,
            format!("{chains} drops forwarded packets and lets those of {bridge} pass"),
        ),
        (false, _) => well(
            WHAT,
            format!("{chains} drops forwarded packets; pitwall up lets those of {bridge} pass"),
        ),
    }
}

fn outbound(survey: &Survey) -> Finding {
    match &survey.outbound {
        Some(interface) => well("outbound", interface.clone()),
        None => note(
            "outbound",
            "this host has no default route, so VMs reach nothing outside it",
            "ip route add default via GATEWAY, or pitwall up --outbound INTERFACE",
        ),
    }
}

fn resolvers(settings: &Settings) -> Finding {
    match orchestrator::network::resolvers(&settings.resolvers) {
        found if found.is_empty() => note(
            "resolvers",
            "this host has no name server that VMs could use, so names do not resolve in them",
            "pitwall up --resolver ADDRESS",
        ),
        found => well(
            "resolvers",
            found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        ),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator::hands::Drops;

    use super::*;

    fn survey() -> Survey {
        Survey {
            bridge: true,
            tables: true,
            forwards: true,
            outbound: Some("eth0".to_owned()),
            overlap: None,
            drops: Drops::default(),
            admitted: true,
        }
    }

    fn docker() -> Drops {
        Drops {
            mendable: vec!["DOCKER-USER of iptables-nft".to_owned()],
            others: Vec::new(),
        }
    }

    #[test]
    fn a_whole_network_is_well() {
        let settings = crate::config::testing();
        let findings = judge(&survey(), &settings);
        assert!(
            findings
                .iter()
                .all(|finding| finding.ok && finding.mend.is_none()),
            "{findings:?}"
        );
    }

    #[test]
    fn each_fault_is_told_and_what_is_harmless_is_fixable() {
        let foreign = Drops {
            others: vec!["inet corp forward".to_owned()],
            ..docker()
        };
        let cases = [
            (
                "network",
                Survey {
                    tables: false,
                    ..survey()
                },
                false,
                Some(Fix::SetUpNetwork),
            ),
            (
                "network",
                Survey {
                    overlap: Some("it overlaps".to_owned()),
                    ..survey()
                },
                false,
                None,
            ),
            (
                "network",
                Survey {
                    bridge: false,
                    tables: false,
                    ..survey()
                },
                true,
                None,
            ),
            (
                "forwarding",
                Survey {
                    forwards: false,
                    ..survey()
                },
                false,
                Some(Fix::Forward),
            ),
            (
                "firewalls",
                Survey {
                    drops: docker(),
                    admitted: false,
                    ..survey()
                },
                false,
                Some(Fix::Admit),
            ),
            (
                "firewalls",
                Survey {
                    drops: foreign,
                    ..survey()
                },
                true,
                None,
            ),
            (
                "outbound",
                Survey {
                    outbound: None,
                    ..survey()
                },
                true,
                None,
            ),
        ];
        let settings = crate::config::testing();
        for (what, survey, ok, fix) in cases {
            let findings = judge(&survey, &settings);
            let told: Vec<_> = findings.iter().filter(|finding| finding.mend.is_some()).collect();
            let [finding] = told.as_slice() else {
                panic!("{survey:?} gives {findings:?}");
            };
            assert_eq!(
                (finding.what, finding.ok, &finding.fix),
                (what, ok, &fix),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn before_the_network_is_made_nothing_of_it_is_wrong() {
        let before = Survey {
            bridge: false,
            tables: false,
            forwards: false,
            drops: docker(),
            admitted: false,
            ..survey()
        };
        let findings = judge(&before, &crate::config::testing());
        assert!(
            findings.iter().all(|finding| finding.ok && !finding.fixable),
            "{findings:?}"
        );
    }
}
