//! The metrics page, as Prometheus' own tool judges it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use server::{Edges, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::served::{Answer, Served};

async fn page(served: &Served, metrics: &Metrics) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server::serve_metrics(listener, served.control.clone(), metrics.clone(), async {
        drop(stopped.await);
    });
    let serving = tokio::spawn(serving);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap();
    Answer::read(&answer)
}

async fn counted() -> (Served, Answer) {
    let metrics = Metrics::new().unwrap();
    let served = Served::with(Edges {
        metrics: Some(metrics.clone()),
        ..Edges::default()
    })
    .await;
    served.host_reports().await;
    for name in ["web-of-somebody", "other"] {
        served
            .ask("GET", &format!("/v1/vms/{name}"), &[&served.authorization()])
            .await;
    }
    served.get("/v1/nowhere").await;
    let page = page(&served, &metrics).await;
    (served, page)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_figures_and_no_names() {
    let (_served, page) = counted().await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4"));
    for line in [
        "pitwall_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/vms/{vm}\",status=\"4xx\"} 2",
        "pitwall_http_request_duration_seconds_count{method=\"GET\",route=\"-\",status=\"4xx\"} 1",
        "pitwall_http_requests_in_flight 0",
        "pitwall_hosts{state=\"reporting\"} 1",
        "pitwall_hosts{state=\"silent\"} 0",
        "pitwall_vms{status=\"RUNNING\"} 0",
        "pitwall_reports_taken_total 1",
        "pitwall_event_followers 0",
    ] {
        assert!(
            page.body.lines().any(|found| found == line),
            "{line} is not in\n{}",
            page.body
        );
    }
    for name in [
        "pitwall_store_commit_duration_seconds_count",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        let line = page
            .body
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{}", page.body));
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(value > 0.0, "{line}");
    }
    assert!(!page.body.contains("somebody"), "{}", page.body);
}

/// Debian's promtool, which `scripts/promtool` fetches.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say() {
    let promtool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/promtool/promtool");
    if !promtool.is_file() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "run scripts/promtool"
        );
        eprintln!("skipped: there is no promtool; scripts/promtool fetches it");
        return;
    }
    let (_served, page) = counted().await;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.body.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{}",
        page.body
    );
}
