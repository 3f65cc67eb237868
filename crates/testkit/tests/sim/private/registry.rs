//! A registry on loopback with one image of no layers, for who signs in: enough of HTTP for two documents.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// `fred` and `canary-p4ssword`, as RFC 7617 writes them.
const BASIC: &str = "Basic ZnJlZDpjYW5hcnktcDRzc3dvcmQ=";

/// A running registry; it ends with the value.
pub(super) struct Registry {
    address: SocketAddr,
    digest: Digest,
    task: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub(super) async fn start() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "WorkingDir": "/private" },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let (config_digest, config) = document(&config);
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest.to_string(),
            "size": config.len(),
        });
        let manifest = json!({ "schemaVersion": 2, "config": descriptor, "layers": [] });
        let (digest, manifest) = document(&manifest);
        let documents = HashMap::from([
            (format!("/v2/team/app/blobs/{config_digest}"), config),
            (format!("/v2/team/app/manifests/{digest}"), manifest.clone()),
            ("/v2/team/app/manifests/1".to_owned(), manifest),
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener, Arc::new(documents)));
        Self {
            address,
            digest,
            task,
        }
    }

    /// The image by its tag, and by its digest.
    pub(super) fn references(&self) -> [String; 2] {
        let repository = format!("{}/team/app", self.address);
        [format!("{repository}:1"), format!("{repository}@{}", self.digest)]
    }
}

fn document(value: &Value) -> (Digest, String) {
    let text = value.to_string();
    (Digest::from_sha256(Sha256::digest(&text).into()), text)
}

async fn serve(listener: TcpListener, documents: Arc<HashMap<String, String>>) {
    while let Ok((connection, _)) = listener.accept().await {
        let documents = documents.clone();
        // A client that goes away early needs no answer.
        tokio::spawn(async move { drop(answer(connection, &documents).await) });
    }
}

async fn answer(connection: TcpStream, documents: &HashMap<String, String>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let (mut path, mut is_signed_in, mut line) = (String::new(), false, String::new());
    while connection.read_line(&mut line).await? > 2 {
        if let Some(target) = line.strip_prefix("GET ") {
            path = target.split(' ').next().unwrap_or_default().to_owned();
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        is_signed_in |= name.eq_ignore_ascii_case("authorization") && value.trim() == BASIC;
        line.clear();
    }
    let (status, body) = match documents.get(&path) {
        _ if !is_signed_in => ("401 Unauthorized", "{}"),
        Some(document) => ("200 OK", document.as_str()),
        None => ("404 Not Found", "{}"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await
}
