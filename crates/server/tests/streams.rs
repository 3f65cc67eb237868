//! Logs, programs, consoles and files over a real connection, with a scripted VM at the far end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod far;

use std::time::Duration;

use api::client::{Stream, StreamReader};
use api::frame::{End, Input, Output};
use api::{Client, ClientConfig, ClientError, ConsoleQuery, CreateExec, CreateVm, FilesQuery, LogQuery};
use bus::Bus;
use control::{Control, ControlConfig};
use far::FakeVm;
use futures_util::{SinkExt, StreamExt};
use link::Link;
use model::{Capacity, Feature, HostId};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use wire::host::HostReport;

const LIMIT: Duration = Duration::from_secs(30);
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEh me";

struct Running {
    client: Client,
    address: String,
    token: String,
    vm: FakeVm,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A server with a VM named web.
async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("pitwall.db")).await.unwrap();
    let (bus, link) = (Bus::in_process(), Link::in_process());
    let config = ControlConfig::new(store, bus.clone(), link.clone());
    let control = Control::open(config).await.unwrap();
    let token = control
        .admin_token_ensure()
        .await
        .unwrap()
        .unwrap()
        .reveal()
        .to_owned();
    let host = HostId::from_random([1; 16]);
    let vm = FakeVm::serve(&link, host);
    bus.publish_report(host, report(host, &control).encode())
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = control.clone();
    let served = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        tokio::select! {
            () = server::serve(listener, control, shutdown) => {}
            () = running.run(std::future::pending()) => {}
        }
    });
    let config = ClientConfig {
        url: format!("http://{address}"),
        token: Some(token.clone()),
        user_agent: "test/1".into(),
    };
    let client = Client::new(config).unwrap();
    while client.host_list().await.unwrap().items.is_empty() {}
    let wish = CreateVm {
        name: "web".into(),
        image: "debian".into(),
        keys: vec![KEY.into()],
        ..CreateVm::default()
    };
    client.vm_create(&wish).await.unwrap();
    Running {
        client,
        address,
        token,
        vm,
        stop,
        served,
        _folder: folder,
    }
}

fn report(host: HostId, control: &Control) -> HostReport {
    HostReport {
        installation: Some(control.installation()),
        host,
        name: "box1".parse().unwrap(),
        version: "0.1.0".into(),
        start: 1,
        number: 1,
        plan: 0,
        refusal: None,
        vms: Vec::new(),
        capacity: Some(Capacity {
            cpus: 8,
            memory_bytes: 8 << 30,
            disk_bytes: 80 << 30,
        }),
        images: None,
        features: Some(vec![Feature::OCI_IMAGE]),
    }
}

fn program(words: &[&str]) -> CreateExec {
    CreateExec {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        ..CreateExec::default()
    }
}

impl Running {
    async fn exec(&self, words: &[&str]) -> Stream {
        self.client.vm_exec("web", &program(words)).await.unwrap()
    }

    /// A request as it stands, and the head and body of its answer.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{request}\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer));
        read.await.unwrap().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Everything that is printed, and the end.
async fn all(reader: &mut StreamReader) -> (Vec<u8>, Vec<u8>, End) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match tokio::time::timeout(LIMIT, reader.next()).await.unwrap().unwrap() {
            Output::Stdout(bytes) => out.extend(bytes),
            Output::Stderr(bytes) => err.extend(bytes),
            Output::Ended(end) => return (out, err, end),
        }
    }
}

/// Reads until the text has come.
async fn until(reader: &mut StreamReader, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match tokio::time::timeout(LIMIT, reader.next()).await {
            Ok(Ok(Output::Stdout(bytes))) => seen += &String::from_utf8_lossy(&bytes),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}

fn problem(error: ClientError) -> (u16, String) {
    let ClientError::Problem(problem) = error else {
        panic!("{error:?}")
    };
    (problem.status, problem.code)
}

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

    let http = reqwest_exec(&running, &["exit", "0"]).await;
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
async fn reqwest_exec(running: &Running, words: &[&str]) -> String {
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
    let path = reqwest_exec(&running, &["deaf"]).await;
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
    let path = reqwest_exec(&running, &["deaf"]).await;
    let mut socket = open(&running, &path, None).await.unwrap();
    // The server may close before all of it was sent.
    let _ = socket.send(Message::binary(vec![0; 1_100_000])).await;
    running.vm.until_closed(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_server_ends_streams_at_once() {
    let running = start().await;
    let mut exec = running.exec(&["deaf"]).await;
    let reading = tokio::spawn(async move { exec.reader.next().await });
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = running.client.vm_logs("web", &follow).await.unwrap();
    for _ in 0..5 {
        log.next().await.unwrap().unwrap();
    }
    running.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(4), running.served)
        .await
        .unwrap()
        .unwrap();
    running.vm.until_closed(1).await;
    let ended = reading.await.unwrap().unwrap_err();
    assert!(ended.to_string().ends_with("the server closes"), "{ended}");
    // A log that was cut off is not taken for one that ended.
    let cut = log.next().await.unwrap();
    assert!(cut.is_err(), "{cut:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_lines_of_json() {
    let running = start().await;
    let answer = running.raw("GET /v1/vms/web/logs HTTP/1.1").await;
    assert!(
        answer.contains("content-type: application/x-ndjson\r\n"),
        "{answer}"
    );
    for line in [
        "{\"type\":\"boot\",\"at\":\"2026-09-21T14:13:20.000000000Z\",\"boot_id\":\"b1\"}\n",
        "{\"type\":\"gap\",\"at\":\"2026-09-21T14:13:20.000000000Z\",\"lost_bytes\":17}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000001Z\",\"stream\":\"stdout\",\"line\":\"one\"}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000002Z\",\"stream\":\"stderr\",\"line\":\"two\"}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000003Z\",\"stream\":\"stdout\",\"line_base64\":\"/zM=\"}\n",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
    let query = LogQuery {
        tail: Some(1),
        ..LogQuery::default()
    };
    let log: Vec<_> = running
        .client
        .vm_logs("web", &query)
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].as_ref().unwrap().bytes(), Some(vec![0xff, b'3']));
    let query = LogQuery {
        since: Some("2026-09-21T16:13:20.000000002+02:00".into()),
        ..LogQuery::default()
    };
    assert_eq!(
        running.client.vm_logs("web", &query).await.unwrap().count().await,
        2
    );
    for (query, part) in [
        ("tail=-1", "400"),
        ("follow=yes", "400"),
        ("until=x", "unknown field `until`"),
        ("since=yesterday", "422"),
    ] {
        let refused = running
            .raw(&format!("GET /v1/vms/web/logs?{query} HTTP/1.1"))
            .await;
        assert!(refused.contains(part), "{query}: {refused}");
    }
    let missing = running.client.vm_logs("nowhere", &LogQuery::default()).await;
    assert_eq!(problem(missing.err().unwrap()).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_until_it_fails() {
    let running = start().await;
    let query = LogQuery {
        follow: true,
        tail: Some(0),
        ..LogQuery::default()
    };
    let mut log = running.client.vm_logs("web", &query).await.unwrap();
    for text in ["four", "five"] {
        running.vm.prints.send(Some(text)).await.unwrap();
        let record = tokio::time::timeout(LIMIT, log.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(record.line.as_deref(), Some(text));
    }
    running.vm.prints.send(None).await.unwrap();
    let last = log.next().await.unwrap().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.message.as_deref()),
        ("failed", Some("the host went away"))
    );
}

fn path(path: &str) -> FilesQuery {
    FilesQuery { path: path.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_out_whole_or_not_at_all() {
    let running = start().await;
    std::fs::create_dir(running.vm.files.path().join("srv")).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
    std::fs::write(running.vm.files.path().join("srv/big"), &big).unwrap();
    let pieces = running.client.vm_files_read("web", &path("/srv")).await.unwrap();
    let archive = pieces.map(Result::unwrap).collect::<Vec<_>>().await.concat();
    assert!(
        archive
            .windows(64)
            .any(|window| window == &big[4_000_000..4_000_064])
    );
    assert_eq!(archive.len() % 512, 0);
    for (bad, expected) in [
        ("/nothing", (404, "not_found")),
        ("srv", (422, "invalid_value")),
        ("/a\0b", (422, "invalid_value")),
    ] {
        let refused = running
            .client
            .vm_files_read("web", &path(bad))
            .await
            .err()
            .unwrap();
        let (status, code) = problem(refused);
        assert_eq!((status, code.as_str()), expected, "{bad}");
    }
    // Half of it came when the disk broke: nobody takes that for whole.
    let pieces = running
        .client
        .vm_files_read("web", &path("/large/broken"))
        .await
        .unwrap();
    let pieces: Vec<_> = pieces.collect().await;
    let broken = pieces.last().unwrap().as_ref().unwrap_err();
    assert!(broken.to_string().ends_with("the archive broke off"), "{broken}");
    let raw = running
        .raw("GET /v1/vms/web/files?path=/large/broken HTTP/1.1")
        .await;
    assert!(
        raw.starts_with("HTTP/1.1 200") && !raw.ends_with("0\r\n\r\n"),
        "{raw:?}"
    );
    let small = running.client.vm_files_read("web", &path("/broken")).await;
    assert_eq!(problem(small.err().unwrap()).1, "guest_failed");
    let without = running.raw("GET /v1/vms/web/files HTTP/1.1").await;
    assert!(without.contains("missing field `path`"), "{without}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_and_a_full_disk_is_told_while_they_do() {
    let running = start().await;
    let folder = running.vm.files.path();
    std::fs::create_dir_all(folder.join("in/one")).unwrap();
    std::fs::create_dir(folder.join("out")).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 239) as u8).collect();
    std::fs::write(folder.join("in/one/big"), &big).unwrap();
    let packed = std::process::Command::new("tar")
        .args(["-cf", "-", "-C"])
        .arg(folder.join("in"))
        .arg("one")
        .output();
    let packed = packed.unwrap().stdout;
    let body = |bytes: Vec<u8>| {
        let pieces: Vec<_> = bytes
            .chunks(100_000)
            .map(|piece| Ok(piece.to_vec().into()))
            .collect();
        futures_util::stream::iter(pieces)
    };
    running
        .client
        .vm_files_write("web", &path("/out"), body(packed.clone()))
        .await
        .unwrap();
    assert!(std::fs::read(folder.join("out/one/big")).unwrap() == big);
    for (bad, bytes, expected) in [
        ("/nothing", packed.clone(), (404, "not_found")),
        ("/full", packed.clone(), (502, "guest_failed")),
        ("/full", vec![1; 30_000_000], (502, "guest_failed")),
        ("/out", vec![1; 5000], (422, "invalid_value")),
    ] {
        let refused = running
            .client
            .vm_files_write("web", &path(bad), body(bytes))
            .await
            .unwrap_err();
        let (status, code) = problem(refused);
        assert_eq!((status, code.as_str()), expected, "{bad}");
    }
    // One that breaks off is closed, and never unpacked.
    let mut stream = TcpStream::connect(&running.address).await.unwrap();
    let head = format!(
        "PUT /v1/vms/web/files?path=/out HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        running.token,
        packed.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&packed[..1000]).await.unwrap();
    drop(stream);
    running.vm.until_closed(1).await;
    let text = "PUT /v1/vms/web/files?path=/out HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 0";
    let refused = running.raw(text).await;
    assert!(refused.starts_with("HTTP/1.1 415"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_is_off_is_said_to_be() {
    let running = start().await;
    running.client.vm_stop("web").await.unwrap();
    let refused = running
        .client
        .vm_exec("web", &program(&["cat"]))
        .await
        .err()
        .unwrap();
    assert_eq!(problem(refused), (409, "wrong_status".into()));
    let refused = running
        .client
        .vm_files_read("web", &path("/"))
        .await
        .err()
        .unwrap();
    assert_eq!(problem(refused), (409, "wrong_status".into()));
    // What it printed before can still be read.
    assert_eq!(
        running
            .client
            .vm_logs("web", &LogQuery::default())
            .await
            .unwrap()
            .count()
            .await,
        5
    );
}

/// The client in Python knows docs/streams.md and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_written_from_the_page_alone_gets_along() {
    let running = start().await;
    std::fs::create_dir(running.vm.files.path().join("srv")).unwrap();
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = crates.join("../../target/venv/bin/python");
    if !python.exists() && std::env::var_os("CI").is_none() {
        return println!("skipped: there is no target/venv; make it with: scripts/ssh-clients");
    }
    let mut client = tokio::process::Command::new(python);
    client
        .arg(crates.join("tests/clients/streams.py"))
        .arg(format!("http://{}", running.address));
    client.arg("web").env("TOKEN", &running.token).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT * 2, client.output())
        .await
        .unwrap()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.ends_with("all well\n"), "{out}");
    running.vm.until_closed(1).await;
}
