//! A server at a port of its own, and HTTP to it by hand: what is tested is what goes over the connection.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::Bus;
use control::{Control, ControlConfig};
use link::Link;
use model::{Capacity, Feature, HostId};
use server::{Door, Edges, Metrics};
use store::Store;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wire::host::HostReport;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) control: Control,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Served {
    pub(crate) async fn with(edges: Edges) -> Self {
        Self::behind(|listener| Door {
            edges,
            ..Door::from(listener)
        })
        .await
    }

    pub(crate) async fn behind(door: impl FnOnce(TcpListener) -> Door) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("pitwall.db");
        Self::over(&database, folder, door).await
    }

    /// Over a database at a place of the test's own.
    pub(crate) async fn over(
        database: &Path,
        folder: TempDir,
        door: impl FnOnce(TcpListener) -> Door,
    ) -> Self {
        crate::log::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = door(listener);
        let (store, bus) = (Store::open(database).await.unwrap(), Bus::in_process());
        let mut config = ControlConfig::new(store.clone(), bus.clone(), Link::in_process());
        if let Some(metrics) = &door.edges.metrics {
            config.meter = Arc::new(Metrics::clone(metrics));
        }
        let control = Control::open(config).await.unwrap();
        let token = control.admin_token_renew().await.unwrap().reveal().to_owned();
        let (running, serving) = (control.clone(), control.clone());
        let tasks = vec![
            tokio::spawn(async move { running.run(std::future::pending()).await }),
            tokio::spawn(server::serve(door, serving, std::future::pending())),
        ];
        Self {
            address,
            token,
            control,
            store,
            bus,
            tasks,
            _folder: folder,
        }
    }

    /// Lets a host report, and waits until that was taken in.
    pub(crate) async fn host_reports(&self) {
        let host = HostId::from_random([1; 16]);
        let report = HostReport {
            installation: Some(self.control.installation()),
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
        };
        self.bus.publish_report(host, report.encode()).await.unwrap();
        until("the host is known", async || {
            let census = self.control.census().await.unwrap();
            census.hosts.iter().any(|(_, count)| *count > 0)
        })
        .await;
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A request with these lines in its head, on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let mut stream = self.send(method, path, lines).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::read(&answer)
    }

    async fn send(&self, method: &str, path: &str, lines: &[&str]) -> TcpStream {
        let mut stream = self.connect().await;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: pitwall\r\nconnection: close\r\n");
        for line in lines {
            head += &format!("{line}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        stream
    }

    /// The head alone of an answer that may have no end.
    pub(crate) async fn ask_head(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let mut stream = self.send(method, path, lines).await;
        head_of(&mut stream).await
    }

    /// A request that is answered well, for as long as the connection is held.
    pub(crate) async fn hold(&self, method: &str, path: &str, lines: &[&str]) -> TcpStream {
        let mut stream = self.send(method, path, lines).await;
        let answer = head_of(&mut stream).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        stream
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// The line that shows the admin's token.
    pub(crate) fn authorization(&self) -> String {
        format!("authorization: Bearer {}", self.token)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn head_of(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    Answer::read(&head)
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            status: status.unwrap_or_default(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| {
            line.split_once(": ")
                .filter(|(key, _)| *key == name)
                .map(|(key, _)| key.len() + 2)
        };
        self.head.lines().find_map(|text| text.get(line(text)?..))
    }

    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Waits until something holds, with a limit.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
