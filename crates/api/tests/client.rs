//! The client against a server that answers from a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use api::{Client, ClientConfig, ClientError, ExitCode, Status};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves one answer per connection, in order; gives back the requests as they were read.
async fn script(answers: Vec<String>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            requests.push(String::from_utf8(request).unwrap().to_lowercase());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    let client = Client::new(ClientConfig {
        url,
        token: Some("secret".into()),
        user_agent: "test/1".into(),
    })
    .unwrap();
    (client, task)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
}

fn vm(status: &str) -> String {
    format!(
        r#"{{"id":"vm_00000000000000000000000000","name":"web","status":"{status}","reason":null,"stage":null,
        "image":"docker.io/library/debian:12","image_digest":null,"cpus":1,"memory_bytes":536870912,
        "disk_bytes":2147483648,"power":"hibernating","generation":1,"host":null,"address":"172.30.0.3",
        "ssh_port":2222,"login":"fred","host_key":null,"ssh":null,"created_at":"2026-11-22T09:00:00Z",
        "colour":{{"from":"the future"}}}}"#
    )
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_an_unknown_status_is_kept() {
    let (client, task) = script(vec![answer("200 OK", "application/json", &vm("LEVITATING"))]).await;
    let vm = client.vm_get("web").await.unwrap();
    assert_eq!(vm.status.as_str(), "LEVITATING");
    assert_eq!(vm.status.known(), None);
    assert_eq!(vm.power, "hibernating");
    let requests = task.await.unwrap();
    assert!(
        requests[0].starts_with("get /v1/vms/web http/1.1"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains("authorization: bearer secret"),
        "{}",
        requests[0]
    );
}

fn too_often(seconds: &str) -> String {
    let body = r#"{"type":"/v1/problems/rate_limited","title":"t","status":429,"detail":"too often",
        "code":"rate_limited","request_id":"r1"}"#;
    let answer = answer("429 Too Many Requests", "application/problem+json", body);
    answer.replacen("\r\n", &format!("\r\nretry-after: {seconds}\r\n"), 1)
}

#[tokio::test]
async fn a_request_waits_for_its_turn_and_is_sent_again() {
    let good = answer("200 OK", "application/json", &vm("RUNNING"));
    let (client, task) = script(vec![too_often("0"), too_often("1"), good]).await;
    let begun = std::time::Instant::now();
    assert_eq!(client.vm_start("web").await.unwrap().name, "web");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let requests = task.await.unwrap();
    assert!(
        requests.iter().all(|request| request == &requests[0]),
        "one key: {requests:#?}"
    );
}

#[tokio::test]
async fn a_turn_that_is_far_away_is_told_instead() {
    for wait in ["31", "Sun, 22 Nov 2026 09:00:00 GMT"] {
        let (client, _task) = script(vec![too_often(wait)]).await;
        let error = client.vm_get("web").await.unwrap_err();
        assert!(error.is_code("rate_limited"), "{wait}: {error:?}");
        assert_eq!(error.exit_code(), ExitCode::Unavailable);
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_servers_words_and_an_unknown_code_is_told_by_its_status() {
    let body = r#"{"type":"/v1/problems/frozen","title":"Frozen","status":409,"detail":"it is cold","code":"frozen",
        "hint":"wait for spring","pointer":null,"request_id":"r1","season":"winter"}"#;
    let (client, _task) = script(vec![answer("409 Conflict", "application/problem+json", body)]).await;
    let error = client.vm_start("web").await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        ("it is cold", ExitCode::Conflict)
    );
}

#[tokio::test]
async fn another_service_is_told_apart() {
    let (client, _task) = script(vec![answer("404 Not Found", "text/html", "<h1>nginx</h1>")]).await;
    let error = client.vm_list().await.unwrap_err();
    assert!(
        matches!(error, ClientError::NotPitwall { status: 404, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(ClientConfig {
        url,
        token: None,
        user_agent: "test/1".into(),
    })
    .unwrap();
    let error = client.vm_list().await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unavailable, "{error:?}");
}

#[tokio::test]
async fn events_go_on_after_a_broken_connection() {
    let event = |id: u64, kind: &str, status: &str| {
        format!(
            "id: {id}\nevent: {kind}\ndata: {{\"type\":\"{kind}\",\"at\":\"2026-11-22T09:00:00Z\",\
             \"vm\":\"vm_00000000000000000000000000\",\"generation\":1,\"status\":\"{status}\"}}\n\n"
        )
    };
    let gone = r#"{"type":"/v1/problems/not_found","title":"","status":404,"detail":"gone","code":"not_found","request_id":"r"}"#;
    let (client, task) = script(vec![
        answer(
            "200 OK",
            "text/event-stream",
            &format!(": hello\n\n{}", event(7, "status", "BOOTING")),
        ),
        answer("200 OK", "text/event-stream", &event(9, "status", "RUNNING")),
        answer("404 Not Found", "application/problem+json", gone),
    ])
    .await;
    let events: Vec<_> =
        tokio::time::timeout(Duration::from_secs(10), client.vm_events("web", None).collect())
            .await
            .unwrap();
    let [first, second, last] = events.as_slice() else {
        panic!("{events:?}")
    };
    let first = first.as_ref().unwrap();
    assert_eq!(first.id.as_ref().unwrap().as_str(), "7");
    assert_eq!(
        second.as_ref().unwrap().event.status.as_ref().unwrap().known(),
        Some(Status::Running)
    );
    assert!(last.as_ref().unwrap_err().is_not_found());
    let requests = task.await.unwrap();
    assert!(!requests[0].contains("last-event-id"), "{}", requests[0]);
    assert!(requests[1].contains("last-event-id: 7"), "{}", requests[1]);
    assert!(requests[2].contains("last-event-id: 9"), "{}", requests[2]);
}
