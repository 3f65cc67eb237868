//! The listening server: closing in order, and what stands in the log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use api::{Client, ClientConfig, CreateVm};
use bus::Bus;
use control::{Control, ControlConfig};
use futures_util::StreamExt;
use link::Link;
use model::{Capacity, Feature, HostId};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;
use wire::host::HostReport;

struct Running {
    client: Client,
    token: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// Everything that all tests here log: a subscriber for one test alone would miss what another caused to be skipped.
fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        log
    })
}

async fn start() -> Running {
    log();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("pitwall.db")).await.unwrap();
    let bus = Bus::in_process();
    let control = Control::open(ControlConfig::new(store, bus.clone(), Link::in_process()))
        .await
        .unwrap();
    let token = control
        .admin_token_ensure()
        .await
        .unwrap()
        .unwrap()
        .reveal()
        .to_owned();
    host_reports(&bus, &control).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
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
        url,
        token: Some(token.clone()),
        user_agent: "test/1".into(),
    };
    let client = Client::new(config).unwrap();
    while client.host_list().await.unwrap().items.is_empty() {}
    Running {
        client,
        token,
        stop,
        served,
        _folder: folder,
    }
}

async fn host_reports(bus: &Bus, control: &Control) {
    let host = HostId::from_random([1; 16]);
    let report = HostReport {
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
    };
    bus.publish_report(host, report.encode()).await.unwrap();
}

fn wish() -> CreateVm {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh me";
    CreateVm {
        name: "web".into(),
        image: "debian".into(),
        keys: vec![key.into()],
        ..CreateVm::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_event_streams_and_idle_connections_at_once() {
    let running = start().await;
    running.client.vm_create(&wish()).await.unwrap();
    let mut events = Box::pin(running.client.vm_events("web", None));
    assert_eq!(events.next().await.unwrap().unwrap().event.kind, "created");
    let address = running.client.url().trim_start_matches("http://").to_owned();
    let idle = TcpStream::connect(&address).await.unwrap();
    running.stop.send(()).unwrap();
    // Well under the grace period, which is there for requests that hang.
    tokio::time::timeout(Duration::from_secs(3), running.served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(&address).await.is_err());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_ends_its_connection_only() {
    let running = start().await;
    let address = running.client.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"what is this?\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(running.client.version().await.unwrap().api, "v1");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_knows_requests_by_their_ids_and_no_token() {
    let running = start().await;
    running.client.vm_create(&wish()).await.unwrap();
    let error = running.client.vm_get("nowhere").await.unwrap_err();
    let api::ClientError::Problem(problem) = error else {
        panic!("{error:?}")
    };
    let text = String::from_utf8(log().0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains(&format!("request.id={}", problem.request_id)),
        "{text}"
    );
    assert!(
        text.contains("http.route=\"/v1/vms/{vm}\"") && text.contains("http.status=404"),
        "{text}"
    );
    assert!(!text.contains(&running.token), "the token is in the log");
}
