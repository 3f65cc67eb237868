//! What runs: pitwall itself, its control plane, its metrics, and the hosts that report to it.

use std::fs;

use api::{ClientError, Host};

use super::finding::{Finding, bad, note, well};
use super::metrics;
use crate::config::Settings;
use crate::lock::Lock;
use crate::roles::{OwnError, own_client};

const OWN: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let holder = Lock::holder(&settings.lock_file());
    let mut findings = vec![pitwall(holder)];
    let token = fs::read_to_string(settings.token_file()).ok();
    findings.extend(metrics::look(settings, holder.is_some()).await);
    let made = match own_client(settings, token.as_deref().map(str::trim)) {
        // What needs no token can still be asked.
        Err(OwnError::Client(ClientError::TokenInTheClear { .. })) => own_client(settings, None),
        made => made,
    };
    let client = match made {
        Ok(client) => client,
        Err(error) => {
            findings.push(no_client(&error));
            return findings;
        }
    };
    let version = client.version().await.map(|version| version.version);
    let is_up = version.is_ok();
    findings.push(api(&version, holder.is_some(), settings));
    if is_up {
        findings.extend(control(
            client.host_list().await.map(|list| list.items),
            token.is_some(),
        ));
    }
    findings
}

/// Pure: why the API cannot even be asked.
fn no_client(error: &OwnError) -> Finding {
    let mend = match error {
        OwnError::Certificate { path, .. } => {
            format!("ls -l {}; it is what tls_cert names", path.display())
        }
        OwnError::Client(ClientError::Certificate { .. }) => "correct tls_cert in the settings".to_owned(),
        OwnError::Client(_) => "pitwall admin-token rotate".to_owned(),
    };
    bad("api", control::chain(error), mend)
}

/// Pure: whether a pitwall holds this run-time directory.
fn pitwall(holder: Option<i32>) -> Finding {
    match holder {
        Some(pid) => well("pitwall", format!("runs here, with process id {pid}")),
        None => note("pitwall", "does not run here", "make up, or pitwall up"),
    }
}

/// Pure: what an answer of the API means.
fn api(version: &Result<String, ClientError>, runs: bool, settings: &Settings) -> Finding {
    const WHAT: &str = "api";
    let is_tls = settings.door.tls.is_some();
    let listen = settings.listen;
    let over = if is_tls { " over TLS" } else { "" };
    match version {
        Ok(version) if version == OWN => well(WHAT, format!("answers on {listen}{over}, version {version}")),
        Ok(version) => note(
            WHAT,
            format!("answers on {listen}{over}, version {version}; this program is {OWN}"),
            "start pitwall again, so that it runs from the new program; VMs go on",
        ),
        Err(ClientError::Unreachable { .. }) if !runs => note(
            WHAT,
            format!("nothing listens on {listen}; pitwall is not up"),
            "make up, or pitwall up",
        ),
        Err(error @ ClientError::Unreachable { .. }) if is_tls => bad(
            WHAT,
            control::chain(error),
            "look at pitwall's log: does it serve the certificate that tls_cert names?",
        ),
        Err(error) => bad(WHAT, control::chain(error), "look at pitwall's log"),
    }
}

/// Pure: what control says of itself and of its hosts.
fn control(hosts: Result<Vec<Host>, ClientError>, has_token: bool) -> Vec<Finding> {
    match hosts {
        Ok(hosts) if hosts.is_empty() => vec![
            well("control", "answers"),
            note(
                "hosts",
                "none has reported yet",
                "pitwall up, on the machine that is to run VMs",
            ),
        ],
        Ok(hosts) => std::iter::once(well("control", "answers"))
            .chain(hosts.iter().map(host))
            .collect(),
        Err(ClientError::Problem(problem)) if problem.status == 401 => vec![note(
            "control",
            if has_token {
                "it refuses the admin's token, so its hosts cannot be looked at"
            } else {
                "there is no admin's token to ask it with, or it may not be read"
            },
            "run the doctor as root with the --state of that pitwall; start pitwall again for a new token",
        )],
        Err(error) => vec![bad("control", control::chain(&error), "look at pitwall's log")],
    }
}

/// Pure: what control knows of a host.
fn host(host: &Host) -> Finding {
    const WHAT: &str = "host agent";
    let name = &host.name;
    let seen = host.last_seen_at.as_deref().unwrap_or("never");
    if let Some(problem) = &host.problem {
        return bad(WHAT, format!("{name}: {problem}"), "look at that host's log");
    }
    if host.status != "UP" {
        return bad(
            WHAT,
            format!("{name} is {}, last heard of at {seen}", host.status),
            "pitwall doctor on that host, and a look at its log",
        );
    }
    let found = format!("{name} reports, version {}, {} VMs", host.version, host.vms);
    if host.version != OWN {
        return note(WHAT, found, format!("bring it to {OWN} as well"));
    }
    if host.found > 0 {
        return note(
            WHAT,
            format!("{found}; {} more that nobody here asked for", host.found),
            format!("pwctl host found {name}"),
        );
    }
    well(WHAT, found)
}

#[cfg(test)]
mod tests {
    use api::Resources;

    use super::*;

    fn up() -> Host {
        Host {
            id: model::HostId::from_random([1; 16]),
            name: "box".to_owned(),
            status: "UP".to_owned(),
            problem: None,
            version: OWN.to_owned(),
            capacity: Resources::default(),
            booked: Resources::default(),
            features: Vec::new(),
            vms: 3,
            found: 0,
            last_seen_at: Some("2026-11-22T09:00:00Z".to_owned()),
        }
    }

    #[test]
    fn a_host_is_well_silent_at_odds_or_of_another_version() {
        for (known, ok, mend) in [
            (up(), true, false),
            (
                Host {
                    version: "0.0.9".to_owned(),
                    ..up()
                },
                true,
                true,
            ),
            (Host { found: 1, ..up() }, true, true),
            (
                Host {
                    status: "SILENT".to_owned(),
                    ..up()
                },
                false,
                true,
            ),
            (
                Host {
                    problem: Some("it refuses its plan".to_owned()),
                    ..up()
                },
                false,
                true,
            ),
        ] {
            let found = host(&known);
            assert_eq!((found.ok, found.mend.is_some()), (ok, mend), "{found:?}");
        }
    }

    #[test]
    fn an_api_that_does_not_answer_is_wrong_only_where_pitwall_runs() {
        let settings = crate::config::testing();
        let broken = || ClientError::NotPitwall {
            url: "http://127.0.0.1:7480".to_owned(),
            status: 404,
        };
        assert!(api(&Ok(OWN.to_owned()), true, &settings).mend.is_none());
        let other = api(&Ok("0.0.1".to_owned()), true, &settings);
        assert!(other.ok && other.mend.is_some());
        assert!(!api(&Err(broken()), true, &settings).ok);
        assert!(
            !api(&Err(broken()), false, &settings).ok,
            "somebody else answers there"
        );
    }

    #[test]
    fn control_is_asked_for_its_hosts() {
        assert_eq!(control(Ok(vec![up(), up()]), true).len(), 3);
        assert!(control(Ok(Vec::new()), true).iter().all(|finding| finding.ok));
    }
}
