//! What a request leaves in the log: whose it is and where it comes from.

use server::Edges;

use crate::served::Served;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_requests_id_trace_and_client() {
    let served = Served::with(Edges {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Edges::default()
    })
    .await;
    let traceparent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let lines = [
        "x-request-id: traced-one",
        "x-forwarded-for: 198.51.100.7",
        &traceparent,
    ];
    let answer = served.ask("GET", "/v1/version", &lines).await;
    assert_eq!(answer.header("x-request-id"), Some("traced-one"));
    let log = crate::log::text();
    let line = log
        .lines()
        .find(|line| line.contains("request.id=traced-one") && line.contains("request answered"))
        .unwrap_or_else(|| panic!("{log}"));
    for field in [
        &format!("trace.id=\"{TRACE}\"")[..],
        "parent.id=\"00f067aa0ba902b7\"",
        "client.address=198.51.100.7",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    let plain = served
        .ask("GET", "/v1/version", &["x-request-id: plain-one"])
        .await;
    assert_eq!(plain.status, 200);
    let log = crate::log::text();
    let line = log
        .lines()
        .find(|line| line.contains("request.id=plain-one"))
        .unwrap();
    assert!(!line.contains("trace.id"), "no trace is made up: {line}");
}
