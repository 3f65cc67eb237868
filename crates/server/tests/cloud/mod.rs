//! A control plane over a fresh database, and a host that says what the test wants.

#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use bus::Bus;
use control::{Control, ControlConfig};
use futures_util::StreamExt;
use http::request::Builder;
use http::{Method, Request, Response, StatusCode};
use link::Link;
use model::{Capacity, Feature, HostId, Phase, Seen, VmId};
use serde_json::Value;
use store::Store;
use tempfile::TempDir;
use tower::ServiceExt;
use wire::host::{HostReport, VmReport};

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh me";
pub(crate) const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh";

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Cloud {
    pub(crate) router: Router,
    pub(crate) token: String,
    control: Control,
    bus: Bus,
    reports: u64,
    driver: tokio::task::JoinHandle<()>,
    /// Held for as long as the database is open.
    folder: Option<TempDir>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Cloud {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = Self::open_in(folder.path()).await;
        cloud.folder = Some(folder);
        cloud
    }

    /// One whose database lies here, and may be there already.
    pub(crate) async fn open_in(folder: &Path) -> Self {
        let store = Store::open(&folder.join("pitwall.db")).await.unwrap();
        let bus = Bus::in_process();
        let control = Control::open(ControlConfig::new(store, bus.clone(), Link::in_process()))
            .await
            .unwrap();
        let token = control.admin_token_renew().await.unwrap().reveal().to_owned();
        let running = control.clone();
        let driver = tokio::spawn(async move { running.run(std::future::pending()).await });
        let router = server::router(control.clone());
        Self {
            router,
            token,
            control,
            bus,
            reports: 0,
            driver,
            folder: None,
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_as(Some(&self.token), method, path, body).await
    }

    pub(crate) async fn call_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = self
            .request(token, method, path)
            .header("content-type", "application/json");
        self.send(
            request,
            body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        )
        .await
    }

    pub(crate) async fn post_raw(&self, kind: &str, body: Vec<u8>) -> Answer {
        let request = self
            .request(Some(&self.token), Method::POST, "/v1/vms")
            .header("content-type", kind);
        self.send(request, body).await
    }

    pub(crate) fn request(&self, token: Option<&str>, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path);
        match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: Builder, body: Vec<u8>) -> Answer {
        let response = self.respond(request, body).await;
        let (parts, body) = response.into_parts();
        let is_stream = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let bytes = if is_stream {
            Default::default()
        } else {
            to_bytes(body, 1 << 20).await.unwrap()
        };
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn respond(&self, request: Builder, body: Vec<u8>) -> Response<Body> {
        self.router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn follow(&self, vm: &str, last: Option<&str>) -> Events {
        let mut request = self.request(Some(&self.token), Method::GET, &format!("/v1/vms/{vm}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.respond(request, Vec::new()).await;
        assert_eq!(response.status(), StatusCode::OK);
        Events {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// Reports that the host holds just these VMs, settled at a generation; returns once control has taken it in.
    pub(crate) async fn host_reports(&mut self, vms: &[(&str, Phase, u64)]) {
        self.reports += 1;
        let host = HostId::from_random([1; 16]);
        let report = HostReport {
            installation: Some(self.control.installation()),
            host,
            name: "box1".parse().unwrap(),
            version: "0.1.0".into(),
            start: 1,
            number: self.reports,
            plan: 0,
            refusal: None,
            vms: vms
                .iter()
                .map(|(id, phase, generation)| vm_report(id, *phase, *generation))
                .collect(),
            capacity: Some(Capacity {
                cpus: 8,
                memory_bytes: 8 << 30,
                disk_bytes: 80 << 30,
            }),
            images: Some(Vec::new()),
            features: Some(vec![Feature::OCI_IMAGE]),
        };
        self.bus.publish_report(host, report.encode()).await.unwrap();
        let taken_in = async {
            while !self.is_taken_in(vms).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, taken_in).await.unwrap();
    }

    async fn is_taken_in(&self, vms: &[(&str, Phase, u64)]) -> bool {
        let hosts = self.call(Method::GET, "/v1/hosts", None).await.body;
        let known = hosts["items"].as_array().is_some_and(|items| !items.is_empty());
        let mut all = known;
        for (id, phase, generation) in vms {
            let vm = self.call(Method::GET, &format!("/v1/vms/{id}"), None).await;
            all &= match *phase == Phase::Gone {
                true => vm.status == StatusCode::NOT_FOUND,
                false => vm.body["settled_generation"].as_u64() >= Some(*generation),
            };
        }
        all
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn vm_report(id: &str, phase: Phase, generation: u64) -> VmReport {
    let seen = Seen {
        placement: 1,
        accepted: generation,
        settled: generation,
        phase,
        boot: 1,
        rootfs: 1,
        reason: None,
        stage: None,
        address: Some([172, 30, 0, 3].into()),
        ssh_port: Some(2222),
        login: Some("fred".into()),
        host_keys: vec![HOST_KEY.into()],
        image_digest: None,
        service: None,
        powered_off: false,
        idle: model::Idle::Active,
    };
    VmReport {
        id: VmId::from_str(id).unwrap(),
        seen,
        found: false,
        body: None,
    }
}

/// An event stream under way.
pub(crate) struct Events {
    body: Body,
    text: String,
}

impl Events {
    /// Reads until an event fits; gives the ids of all that were read.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let message = self.message().await;
            ids.extend(
                message
                    .lines()
                    .filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)),
            );
            let data = message.lines().find_map(|line| line.strip_prefix("data: "));
            if data.is_some_and(|data| fits(&serde_json::from_str(data).unwrap())) {
                return ids;
            }
        }
    }

    pub(crate) async fn first_name(&mut self) -> String {
        let message = self.message().await;
        message
            .lines()
            .find_map(|line| line.strip_prefix("event: "))
            .unwrap_or_default()
            .to_owned()
    }

    async fn message(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = message.to_owned();
                self.text = rest.to_owned();
                return message;
            }
            let frame = tokio::time::timeout(LIMIT, self.next_bytes()).await;
            self.text += &frame.unwrap_or_else(|_| panic!("no further event; last: {:?}", self.text));
        }
    }

    async fn next_bytes(&mut self) -> String {
        let body = std::mem::take(&mut self.body);
        let mut stream = body.into_data_stream();
        let bytes = stream.next().await.unwrap().unwrap();
        self.body = Body::new(axum::body::Body::from_stream(stream));
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}
