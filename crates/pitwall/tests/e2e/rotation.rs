//! The admin's token is renewed while pitwall runs, in the clear on loopback and over TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::generate_simple_self_signed;
use serde_json::Value;

use crate::door::Request;
use crate::env::{Host, text};

/// Rotates, and gives the token of before.
fn rotate(host: &Host) -> String {
    let old = host.admin_token();
    // What an earlier run left is not what the new token is written into.
    let left = host.state().join("admin.new");
    fs::write(&left, "").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["admin-token", "rotate", "--config", &config(host)];
    let rotated = host.pitwall(&words).output().unwrap();
    assert!(rotated.status.success(), "{}", text(&rotated));
    assert!(!text(&rotated).contains("pwt_"), "{}", text(&rotated));
    let new = host.admin_token();
    assert!(new.starts_with("pwt_") && new != old);
    assert!(!left.exists());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.state().join("admin.token")), 0o600);
    old
}

fn config(host: &Host) -> String {
    host.state().join("config.toml").display().to_string()
}

fn start(host: &mut Host, settings: &str, url: &str) {
    fs::write(config(host), settings).unwrap();
    let config = config(host);
    host.start(&["up", "--config", &config]);
    host.wait_until_it_answers(url);
}

#[test]
fn a_running_control_plane_renews_the_admins_token() {
    let mut host = Host::new();
    start(&mut host, "", "http://127.0.0.1:7480/healthz");
    let status = |token: &str| host.send(&Request::new("GET", "/v1/me").token(token)).status;
    let old = rotate(&host);
    assert_eq!((status(&old), status(&host.admin_token())), (401, 200));
    let older = rotate(&host);
    assert_eq!((status(&older), status(&host.admin_token())), (401, 200));
}

#[test]
fn over_tls_the_certificate_of_the_settings_is_trusted_and_no_other() {
    let mut host = Host::new();
    let file = |name: &str| host.state().join(name);
    let made = || generate_simple_self_signed(["pitwall.example".to_owned()]).unwrap();
    let (served, another) = (made(), made());
    fs::write(file("cert.pem"), served.cert.pem()).unwrap();
    fs::write(file("key.pem"), served.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(file("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file("another.pem"), another.cert.pem()).unwrap();
    let settings = |certificate: &Path| {
        format!(
            "listen = \"0.0.0.0:7480\"\ntls_cert = {:?}\ntls_key = {:?}\n",
            certificate,
            file("key.pem")
        )
    };
    let (right, wrong) = (settings(&file("cert.pem")), settings(&file("another.pem")));
    start(&mut host, &right, "https://127.0.0.1:7480/healthz");
    let old = rotate(&host);
    assert_eq!(
        (
            status_over_tls(&host, &old),
            status_over_tls(&host, &host.admin_token())
        ),
        (401, 200)
    );
    let api = finding(&host, "api");
    assert_eq!(api["ok"], true, "{api}");
    assert!(api["found"].as_str().unwrap().contains("over TLS"), "{api}");
    assert_eq!(finding(&host, "metrics")["ok"], true);

    // Somebody else listens there, as far as these settings say: the token is not shown to it.
    fs::write(config(&host), wrong).unwrap();
    let kept = host.admin_token();
    let words = ["admin-token", "rotate", "--config", &config(&host)];
    let refused = host.pitwall(&words).output().unwrap();
    assert!(
        !refused.status.success() && text(&refused).contains("certificate"),
        "{}",
        text(&refused)
    );
    assert_eq!(host.admin_token(), kept);
    assert_eq!(status_over_tls(&host, &kept), 200);
    let api = finding(&host, "api");
    assert_eq!(api["ok"], false, "{api}");
    let log = fs::read_to_string(host.log()).unwrap();
    assert!(!log.contains("PRIVATE KEY") && !log.contains(&kept), "{log}");
}

/// What the doctor says of one thing.
fn finding(host: &Host, what: &str) -> Value {
    let words = ["doctor", "--json", "--config", &config(host)];
    let told = host.pitwall(&words).output().unwrap();
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let mut found = findings.iter().filter(|finding| finding["what"] == what);
    found
        .next()
        .unwrap_or_else(|| panic!("nothing of {what}: {report}"))
        .clone()
}

/// How a token fares whose client checks the certificate's name.
fn status_over_tls(host: &Host, token: &str) -> u16 {
    let url = "https://pitwall.example:7480";
    host.send_to(
        url,
        &[
            ("cacert", &host.state().join("cert.pem").display().to_string()),
            ("resolve", "pitwall.example:7480:127.0.0.1"),
        ],
        &Request::new("GET", "/v1/me").token(token),
    )
    .status
}
