//! Logs, programs, consoles and files over a real connection, with a scripted VM at the far end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../far/mod.rs"]
mod far;
mod files;
mod logs;
mod programs;
mod rights;

use std::time::Duration;

use api::client::{Stream, StreamReader};
use api::frame::{End, Output};
use api::{Client, ClientConfig, ClientError, CreateExec, CreateVm, FilesQuery, LogQuery};
use bus::Bus;
use control::{Control, ControlConfig};
use far::FakeVm;
use futures_util::StreamExt;
use link::Link;
use model::{Capacity, Feature, HostId};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::host::HostReport;

const LIMIT: Duration = Duration::from_secs(30);
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh me";

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

fn path(path: &str) -> FilesQuery {
    FilesQuery { path: path.into() }
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
