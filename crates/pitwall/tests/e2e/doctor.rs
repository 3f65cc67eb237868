//! The doctor: what is wrong with a host is found, told with what mends it, and mended where that is harmless.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::env::{Host, field, run, text};

/// The doctor's report, whatever it thinks of the machine that the tests run on.
fn report(host: &Host, arguments: &[&str]) -> Value {
    let arguments = [&["doctor", "--json"], arguments].concat();
    let output = host.pitwall(&arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

/// What is said of one thing: the findings of that name.
fn findings<'a>(report: &'a Value, what: &str) -> Vec<&'a Value> {
    let all = report["findings"].as_array().unwrap();
    all.iter().filter(|finding| finding["what"] == what).collect()
}

fn is_well(report: &Value, what: &str) -> bool {
    let said = findings(report, what);
    assert!(!said.is_empty(), "nothing is said of {what}: {report}");
    said.iter().all(|finding| finding["ok"] == true)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn in_namespace(host: &Host, arguments: &[&str]) -> String {
    let words = [&["netns", "exec", &host.namespace], arguments].concat();
    run("ip", &words)
}

fn forwards(host: &Host) -> String {
    in_namespace(host, &["cat", "/proc/sys/net/ipv4/ip_forward"])
        .trim()
        .to_owned()
}

/// Everything that `--fix` mends, broken.
fn spoil(host: &Host, token: &Path) {
    fs::set_permissions(host.state(), Permissions::from_mode(0o777)).unwrap();
    fs::write(token, "pwt_not_a_real_one\n").unwrap();
    fs::set_permissions(token, Permissions::from_mode(0o644)).unwrap();
    in_namespace(host, &["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]);
    in_namespace(host, &["nft", "delete", "table", "bridge", "pitwall"]);
    for words in [["-N", "DOCKER-USER"], ["-A", "FORWARD"]] {
        let jump: &[&str] = if words[0] == "-A" {
            &["-j", "DOCKER-USER"]
        } else {
            &[]
        };
        in_namespace(host, &[&["iptables-nft"], &words[..], jump].concat());
    }
    in_namespace(host, &["iptables-nft", "-P", "FORWARD", "DROP"]);
}

const SPOILT: [&str; 5] = ["state", "token", "network", "forwarding", "firewalls"];

#[test]
fn what_was_spoilt_is_told_and_what_is_harmless_is_mended() {
    let host = Host::new();
    let setup = host.pitwall(&["orchestrator", "--setup"]).output().unwrap();
    assert!(setup.status.success(), "{}", text(&setup));
    let whole = report(&host, &[]);
    for what in ["rights", "network", "forwarding", "firewalls", "database"] {
        assert!(is_well(&whole, what), "{what}: {whole}");
    }

    let token = host.state().join("admin.token");
    spoil(&host, &token);
    for _ in 0..2 {
        // The second time it says the same: looking changes nothing.
        let spoilt = report(&host, &[]);
        assert_eq!(spoilt["ok"], false);
        assert_eq!(spoilt["fixes"].as_array().unwrap().len(), 0);
        for what in SPOILT {
            let said = findings(&spoilt, what);
            assert_eq!(said.len(), 1, "{what}: {spoilt}");
            assert_eq!(said[0]["ok"], false, "{what}: {spoilt}");
            assert_eq!(said[0]["fixable"], true, "{what}: {spoilt}");
            assert_ne!(field(said[0], "mend"), "", "{what}");
        }
    }
    assert_eq!((mode(&token), forwards(&host).as_str()), (0o644, "0"));

    let mended = report(&host, &["--fix"]);
    let fixes = mended["fixes"].as_array().unwrap();
    assert!(fixes.len() >= SPOILT.len(), "{mended}");
    assert!(fixes.iter().all(|fix| fix["failed"].is_null()), "{mended}");
    for what in ["rights", "network", "forwarding", "firewalls"] {
        assert!(is_well(&mended, what), "{what}: {mended}");
    }
    assert_eq!((mode(host.state()), mode(&token)), (0o755, 0o600));
    assert_eq!(forwards(&host), "1");
    assert!(host.ruleset().contains("table bridge pitwall"));
    let rules = in_namespace(&host, &["iptables-nft", "-S", "DOCKER-USER"]);
    assert!(
        rules.contains("-i pwbr0 -m comment --comment pitwall -j ACCEPT"),
        "{rules}"
    );

    let again = host.pitwall(&["doctor", "--fix"]).output().unwrap();
    assert!(
        !text(&again).contains("fixed "),
        "nothing is left to fix: {}",
        text(&again)
    );
}

#[test]
fn the_parts_that_run_are_asked_how_they_are() {
    let host = Host::up();
    let report = report(&host, &[]);
    for (what, said) in [
        ("pitwall", "runs here"),
        ("api", "answers on 127.0.0.1:7480"),
        ("control", "answers"),
        ("host agent", "reports"),
        ("database", "schema"),
    ] {
        assert!(is_well(&report, what), "{what}: {report}");
        let found = field(findings(&report, what)[0], "found");
        assert!(found.contains(said), "{what}: {found}");
    }
}
