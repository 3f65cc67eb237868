//! One id of a request, from the client to what the host does for it.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

use api::{CreateToken, Vm};
use model::{Status, VmId};
use serde_json::Value;
use testkit::Cloud;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{expect, expect_settled, gone, until_true, wish};

#[tokio::test]
async fn the_host_logs_its_steps_under_the_id_that_the_client_gave() {
    log_lines();
    let mut cloud = Cloud::start(1).await.unwrap();
    let ask = Asking::of(&cloud).await;
    let wish = serde_json::to_value(wish("web")).unwrap();
    let vm: Vm = ask.send("POST", "/v1/vms", "to-create", Some(&wish)).await;
    expect(&cloud, "web", Status::Running).await;
    until_true("its steps are told", || {
        under(vm.id, "to-create").contains("StartVmm")
    })
    .await;

    let restarted: Vm = ask.send("POST", "/v1/vms/web/restart", "to-restart", None).await;
    expect_settled(&cloud, "web", Status::Running, restarted.generation).await;
    until_true("its steps are told", || {
        under(vm.id, "to-restart").contains("StopGuest")
    })
    .await;
    assert!(
        !under(vm.id, "to-create").contains("StopGuest"),
        "the first request stopped nothing"
    );

    // What is written down with the wish outlives the orchestrator: the VMM's end is told under what last asked for it.
    cloud.hosts[0].end().await;
    cloud.hosts[0].begin().await.unwrap();
    cloud.hosts[0].sim.power_off(vm.id);
    until_true("its end is told", || {
        under(vm.id, "to-restart").contains("PoweredOff")
    })
    .await;

    let _: Vm = ask.send("DELETE", "/v1/vms/web", "to-remove", None).await;
    gone(&cloud, "web").await;
    until_true("its removal is told", || {
        under(vm.id, "to-remove").contains("Forget")
    })
    .await;
}

/// Somebody who gives requests ids.
struct Asking {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Asking {
    async fn of(cloud: &Cloud) -> Self {
        let client = cloud.client().unwrap();
        let token = CreateToken {
            name: "requests".to_owned(),
            scopes: None,
            expires_at: None,
            expires_in_seconds: None,
        };
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        Self {
            http: http.build().unwrap(),
            url: client.url().trim_end_matches('/').to_owned(),
            token: client.token_create("me", &token).await.unwrap().secret.unwrap(),
        }
    }

    async fn send(&self, method: &str, path: &str, id: &str, body: Option<&Value>) -> Vm {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method.parse().unwrap(), url);
        request = request.bearer_auth(&self.token).header("X-Request-Id", id);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], id);
        answer.error_for_status().unwrap().json().await.unwrap()
    }
}

/// What a host has logged of a VM under the id of a request, as one text.
fn under(vm: VmId, request: &str) -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let told: BTreeSet<String> = String::from_utf8_lossy(&lines)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| {
            let span = &line["span"];
            line["target"]
                .as_str()
                .is_some_and(|target| target.starts_with("orchestrator"))
                && span["vm.id"] == vm.to_string()
                && span["request.id"] == request
        })
        .map(|line| line["fields"].to_string())
        .collect();
    told.into_iter().collect()
}

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is logged, by every test of this program: a subscriber for one test alone would miss what another caused
/// to be skipped.
fn log_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().json().with_writer(Log).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

#[derive(Clone, Copy)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}
