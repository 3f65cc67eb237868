//! Slow clients, large heads, too many connections, other sites' pages.

use std::time::{Duration, Instant};

use api::endpoints;
use server::{Edges, Limits, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::served::{Served, until};

const SHORT: Duration = Duration::from_millis(300);
/// What a busy machine may need on top.
const PATIENCE: Duration = Duration::from_secs(10);

async fn limited(limits: Limits) -> Served {
    Served::with(Edges {
        limits,
        ..Edges::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_too_slowly_is_let_go() {
    let served = limited(Limits {
        head: SHORT,
        ..Limits::default()
    })
    .await;
    for begun in [
        "",
        "GET /healthz HTTP/1.1\r\nhost: a\r\n",
        "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream = served.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        ended
            .unwrap_or_else(|_| panic!("{begun:?} holds its connection"))
            .unwrap();
        assert!(began.elapsed() >= SHORT / 2, "{begun:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_let_go() {
    let metrics = Metrics::new().unwrap();
    let served = Served::with(Edges {
        limits: Limits {
            stall: SHORT,
            ..Limits::default()
        },
        metrics: Some(metrics),
        ..Edges::default()
    })
    .await;
    let mut stream = served.connect().await;
    // More than the kernel keeps for one who does not read.
    const REQUESTS: usize = 1000;
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(REQUESTS);
    stream.write_all(request.as_bytes()).await.unwrap();
    until("the connection is cut", async || {
        crate::log::text().contains("the client reads nothing")
    })
    .await;
    let mut read = Vec::new();
    // A connection that is cut may end in an error.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read))
        .await
        .unwrap();
    assert!(read.len() < REQUESTS * api::OPENAPI_JSON.len(), "all was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_so_many_connections_there_are_no_more() {
    let served = limited(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (first, second) = (served.connect().await, served.connect().await);
    // Both are in once a third finds no place.
    let mut third = served.connect().await;
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, third.read_to_end(&mut nothing))
        .await
        .unwrap();
    assert!(ended.is_err() || nothing.is_empty());
    drop(first);
    until("there is a place again", async || {
        let mut stream = served.connect().await;
        let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    })
    .await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_size() {
    let served = limited(Limits::default()).await;
    let long = format!("x-long: {}", "x".repeat(256 * 1024));
    let mut stream = served.connect().await;
    let _ = stream
        .write_all(format!("GET /healthz HTTP/1.1\r\nconnection: close\r\n{long}\r\n\r\n").as_bytes())
        .await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    let many: Vec<String> = (0..200).map(|number| format!("x-{number}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(served.ask("GET", "/healthz", &many).await.status, 431);
}

/// No page of another site reads an answer: no header ever says that it may (Fetch standard, section 3.3).
#[tokio::test(flavor = "multi_thread")]
async fn other_sites_are_allowed_nothing() {
    let served = limited(Limits::default()).await;
    let authorization = served.authorization();
    let origin = [
        "origin: https://elsewhere.example",
        "access-control-request-method: GET",
    ];
    for endpoint in endpoints() {
        let path = endpoint.path.replace(['{', '}'], "x");
        for method in [endpoint.method.as_str(), "OPTIONS"] {
            let answer = served
                .ask_head(
                    method,
                    &path,
                    &[origin[0], origin[1], &authorization, "content-length: 0"],
                )
                .await;
            assert!(answer.status >= 100, "{method} {path}");
            assert!(
                !answer.head.contains("access-control-"),
                "{method} {path}: {}",
                answer.head
            );
            assert!(
                method != "OPTIONS" || answer.status == 405,
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_holds_so_many_flows_and_no_more() {
    let served = limited(Limits {
        flows_per_user: 2,
        ..Limits::default()
    })
    .await;
    served.host_reports().await;
    let authorization = served.authorization();
    let lines = [authorization.as_str()];
    let held = [
        served.hold("GET", "/v1/events", &lines).await,
        served.hold("GET", "/v1/events", &lines).await,
    ];
    let refused = served.ask("GET", "/v1/events", &lines).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "busy"),
        "{refused:?}"
    );
    assert!(refused.body.contains("end one of them"), "{refused:?}");
    // What is answered at once is no flow, and others have their own.
    assert_eq!(served.ask("GET", "/v1/vms", &lines).await.status, 200);
    let name = "ann".parse().unwrap();
    let admin = served
        .control
        .authenticate(&served.token, control::Origin::default())
        .await
        .unwrap();
    let (_, code) = served
        .control
        .user_create(&admin, name, model::Role::Member)
        .await
        .unwrap();
    let (_, token) = served
        .control
        .login(code.reveal(), "a test".to_owned(), control::Origin::default())
        .await
        .unwrap();
    let of_ann = format!("authorization: Bearer {}", token.reveal());
    served.hold("GET", "/v1/events", &[&of_ann]).await;
    // One that ends makes room.
    drop(held);
    until("there is room again", async || {
        served.ask_head("GET", "/v1/events", &lines).await.status == 200
    })
    .await;
}
