//! A registry on loopback that can be told to misbehave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::ImageRef;

use super::image::Built;

/// May answer a request in the registry's place: gets the request and how often its path was asked before.
pub(crate) type Fault = Box<dyn Fn(&Request, usize) -> Option<Response> + Send + Sync>;

struct Inner {
    objects: BTreeMap<String, (Vec<u8>, &'static str)>,
    hits: Mutex<BTreeMap<String, usize>>,
    fault: Fault,
}

/// A running registry; it ends with the value.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    /// Serves images as `test/app:TAG`.
    pub(crate) async fn start(images: &[(&str, &Built)], fault: Fault) -> Self {
        let mut objects = BTreeMap::new();
        for (tag, image) in images {
            let manifest = (
                image.manifest.clone(),
                "application/vnd.oci.image.manifest.v1+json",
            );
            objects.insert(format!("/v2/test/app/manifests/{tag}"), manifest.clone());
            objects.insert(format!("/v2/test/app/manifests/{}", image.digest), manifest);
            for (digest, bytes) in &image.blobs {
                let blob = (bytes.clone(), "application/octet-stream");
                objects.insert(format!("/v2/test/app/blobs/{digest}"), blob);
            }
        }
        let inner = Arc::new(Inner {
            objects,
            hits: Mutex::default(),
            fault,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
        Self { address, inner, task }
    }

    /// One that behaves.
    pub(crate) async fn good(images: &[(&str, &Built)]) -> Self {
        Self::start(images, Box::new(|_, _| None)).await
    }

    /// A reference into it.
    pub(crate) fn reference(&self, selector: &str) -> ImageRef {
        format!("{}/test/app{selector}", self.address)
            .parse()
            .expect("a reference")
    }

    /// How often each path was asked for.
    pub(crate) fn hits(&self) -> BTreeMap<String, usize> {
        self.inner.hits.lock().expect("hits").clone()
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let before = {
        let mut hits = inner.hits.lock().expect("hits");
        let count = hits.entry(path.clone()).or_default();
        *count += 1;
        *count - 1
    };
    if let Some(response) = (inner.fault)(&request, before) {
        return response;
    }
    match inner.objects.get(&path) {
        Some((bytes, media_type)) => {
            ([(header::CONTENT_TYPE, *media_type)], Body::from(bytes.clone())).into_response()
        }
        None => (StatusCode::NOT_FOUND, "{\"errors\":[]}").into_response(),
    }
}
