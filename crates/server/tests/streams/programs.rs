//! Programs and consoles over WebSockets.

use api::client::Stream;
use api::frame::{End, Input};
use api::{ConsoleQuery, CreateExec};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::{Running, all, problem, program, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_input_and_says_how_it_ended() {
    let running = start().await;
    let Stream {
        mut writer,
        mut reader,
    } = running.exec(&["cat"]).await;
    // More than fits under way, so both directions must move at once.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let input = sent.clone();
    let typing = tokio::spawn(async move {
        for chunk in input.chunks(70_000) {
            writer.send(&Input::Data(chunk.to_vec().into())).await.unwrap();
        }
        writer.send(&Input::End).await.unwrap();
        writer
    });
    let (out, err, end) = all(&mut reader).await;
    assert!(out == sent && err.is_empty());
    assert_eq!(end, End::Exited(0));
    typing.await.unwrap();
    let (out, err, end) = all(&mut running.exec(&["both"]).await.reader).await;
    assert_eq!(
        (out.as_slice(), err.as_slice(), end),
        (&b"out\n"[..], &b"err\n"[..], End::Exited(3))
    );
    assert_eq!(
        all(&mut running.exec(&["kill", "9"]).await.reader).await.2,
        End::Killed(9)
    );
    let (_, _, end) = all(&mut running.exec(&["missing"]).await.reader).await;
    let End::Failed { code, message } = end else {
        panic!("{end:?}")
    };
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("not_found", "there is no such program in PATH")
    );
    let (out, ..) = all(&mut running.exec(&["flood", "9000000"]).await.reader).await;
    assert_eq!(out.len(), 9_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_a_size_and_signals_arrive() {
    let running = start().await;
    let wish = CreateExec {
        env: [("A".to_owned(), "1".to_owned())].into(),
        working_dir: Some("/srv".into()),
        user: Some("fred".into()),
        terminal: Some(api::Terminal {
            columns: 80,
            rows: 24,
            term: None,
        }),
        ..program(&["tell"])
    };
    let mut stream = running.client.vm_exec("web", &wish).await.unwrap();
    let begin = until(&mut stream.reader, "\n").await;
    for part in [
        "env: [\"A=1\"]",
        "working_dir: \"/srv\"",
        "user: \"fred\"",
        "columns: 80, rows: 24",
        "kind: \"xterm-256color\"",
    ] {
        assert!(begin.contains(part), "{part} in {begin}");
    }
    stream
        .writer
        .send(&Input::Resize {
            columns: 120,
            rows: 40,
        })
        .await
        .unwrap();
    until(&mut stream.reader, "columns: 120, rows: 40").await;
    stream.writer.send(&Input::Signal(15)).await.unwrap();
    until(&mut stream.reader, "Signal(15)").await;
    stream.writer.send(&Input::Data("hi q".into())).await.unwrap();
    assert_eq!(all(&mut stream.reader).await.2, End::Exited(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_started_once_by_whom_asked() {
    let running = start().await;
    let create = |vm: &str, body: &str| {
        format!(
            "POST /v1/vms/{vm}/exec HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Body: none",
            body.len()
        )
    };
    let head = create("web", "");
    assert!(running.raw(&head).await.starts_with("HTTP/1.1 400"));
    let asked = running.client.vm_exec("nowhere", &program(&["cat"])).await;
    assert_eq!(problem(asked.err().unwrap()), (404, "not_found".into()));
    let asked = running.client.vm_exec("web", &program(&[])).await;
    assert_eq!(problem(asked.err().unwrap()), (422, "invalid_value".into()));

    let http = asked_for(&running, &["exit", "0"]).await;
    // Looking at it in another way does not use it up.
    let looked = running.raw(&format!("GET {http} HTTP/1.1")).await;
    assert!(looked.starts_with("HTTP/1.1 426"), "{looked}");
    assert!(
        looked.to_lowercase().contains("\r\nupgrade: websocket\r\n"),
        "{looked}"
    );
    let mut socket = open(&running, &http, None).await.unwrap();
    let first = socket.next().await.unwrap().unwrap();
    assert_eq!(
        first.into_data(),
        b"\x03{\"type\":\"exit\",\"exit_code\":0,\"signal\":null}".as_slice()
    );
    let again = open(&running, &http, None).await.unwrap_err();
    assert!(again.to_string().contains("404"), "{again}");
}

/// Asks for a program by hand; gives the path to attach at.
async fn asked_for(running: &Running, words: &[&str]) -> String {
    let body = serde_json::to_string(&program(words)).unwrap();
    let mut stream = TcpStream::connect(&running.address).await.unwrap();
    let request = format!(
        "POST /v1/vms/web/exec HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        running.token,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let exec: api::Exec = serde_json::from_str(body).unwrap();
    assert!(
        answer.contains(&format!("location: {}\r\n", exec.path)),
        "{answer}"
    );
    exec.path
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn open(
    running: &Running,
    path: &str,
    protocol: Option<&str>,
) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    let mut request = format!("ws://{}{path}", running.address)
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert(
        "authorization",
        format!("Bearer {}", running.token).parse().unwrap(),
    );
    if let Some(protocol) = protocol {
        headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    let stream = TcpStream::connect(&running.address).await.unwrap();
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await?;
    let chosen = answer.headers().get("sec-websocket-protocol");
    assert_eq!(chosen.map(|chosen| chosen.to_str().unwrap()), protocol);
    Ok(socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_program() {
    let running = start().await;
    let mut polite = running.exec(&["deaf"]).await;
    polite.writer.close().await;
    running.vm.until_closed(1).await;
    // Its connection just ends.
    drop(running.exec(&["deaf"]).await);
    running.vm.until_closed(2).await;
    // What it says makes no sense.
    let path = asked_for(&running, &["deaf"]).await;
    let mut socket = open(&running, &path, Some("pitwall.stream.v1")).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    running.vm.until_closed(3).await;
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else {
        panic!("no close")
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (1008, "all messages are binary")
    );
    // It says too much at once.
    let path = asked_for(&running, &["deaf"]).await;
    let mut socket = open(&running, &path, None).await.unwrap();
    // The server may close before all of it was sent.
    let _ = socket.send(Message::binary(vec![0; 1_100_000])).await;
    running.vm.until_closed(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_consoles_are_in_the_audit_once_they_are_open() {
    let running = start().await;
    running.exec(&["cat"]).await;
    running
        .client
        .vm_console("web", &ConsoleQuery::default())
        .await
        .unwrap();
    let vm = running.client.vm_get("web").await.unwrap().id.to_string();
    for operation in ["vm_exec_create", "vm_console"] {
        let query = api::AuditQuery {
            operation: Some(operation.to_owned()),
            ..api::AuditQuery::default()
        };
        let listed = running.client.audit_list(&query).await.unwrap();
        let [entry] = &listed.items[..] else {
            panic!("one entry: {listed:?}")
        };
        assert_eq!((entry.target.as_ref(), entry.outcome.as_str()), (Some(&vm), "ok"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_shows_and_takes_keys_unless_it_is_read_only() {
    let running = start().await;
    let mut console = running
        .client
        .vm_console("web", &ConsoleQuery::default())
        .await
        .unwrap();
    until(&mut console.reader, "the last line\r\n").await;
    console
        .writer
        .send(&Input::Data("reboot\r".into()))
        .await
        .unwrap();
    until(&mut console.reader, "reboot\r").await;
    let query = ConsoleQuery { read_only: true };
    let mut console = running.client.vm_console("web", &query).await.unwrap();
    until(&mut console.reader, "the last line\r\n").await;
    console
        .writer
        .send(&Input::Data("reboot\r".into()))
        .await
        .unwrap();
    drop(console);
    running.vm.until_closed(1).await;
    let without = running.raw("GET /v1/vms/web/console HTTP/1.1").await;
    assert!(without.starts_with("HTTP/1.1 426"), "{without}");
    let unknown = running.raw("GET /v1/vms/web/console?colour=red HTTP/1.1").await;
    assert!(unknown.contains("unknown field `colour`"), "{unknown}");
}
