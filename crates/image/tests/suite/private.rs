//! Images behind credentials, in a cache that everybody shares.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{ImageRef, ReasonCode, RegistryCredentials};
use serde_json::json;

use crate::support::Cache;
use crate::support::image::{Built, Packing, custom, gzipped};
use crate::support::registry::Registry;
use crate::support::tar::Tar;

const PASSWORD: &str = "canary-p4ss:word";

/// `fred` and the password, as RFC 7617 writes them.
const BASIC: &str = "Basic ZnJlZDpjYW5hcnktcDRzczp3b3Jk";

fn credentials() -> RegistryCredentials {
    RegistryCredentials {
        username: "fred".to_owned(),
        password: PASSWORD.to_owned(),
    }
}

fn wrong() -> RegistryCredentials {
    RegistryCredentials {
        password: "wrong".to_owned(),
        ..credentials()
    }
}

fn secret_image() -> Built {
    gzipped(&[
        Tar::default().file("etc/secret", b"of the private image").end(),
        Tar::default().file("srv/data", &[7; 300_000]).end(),
    ])
}

fn shown(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()
}

fn challenge(words: String) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, words)]).into_response()
}

/// A registry that asks for the credentials themselves.
async fn asks_for_credentials(built: &Built) -> Registry {
    let fault =
        |request: &Request, _| (shown(request) != Some(BASIC)).then(|| challenge("Basic realm=\"x\"".into()));
    Registry::start(&[("v1", built)], Box::new(fault)).await
}

/// A registry with a token server, which gives anybody a token and only the right one to who has credentials.
async fn asks_for_a_token(built: &Built) -> Registry {
    let address = Arc::new(OnceLock::<std::net::SocketAddr>::new());
    let own = Arc::clone(&address);
    let fault = move |request: &Request, _| {
        if request.uri().path() == "/token" {
            let token = match shown(request) {
                Some(BASIC) => "right",
                None => "anybody",
                Some(_) => return Some(StatusCode::UNAUTHORIZED.into_response()),
            };
            return Some(json!({ "token": token }).to_string().into_response());
        }
        let realm = format!("http://{}/token", own.get()?);
        (shown(request) != Some("Bearer right")).then(|| challenge(format!("Bearer realm=\"{realm}\"")))
    };
    let registry = Registry::start(&[("v1", built)], Box::new(fault)).await;
    address.set(registry.address).expect("once");
    registry
}

async fn refused(
    cache: &Cache,
    reference: &ImageRef,
    credentials: Option<RegistryCredentials>,
) -> ReasonCode {
    let pulled = cache.images.pull_as(reference, credentials, &|_| {}).await;
    let reason = pulled.expect_err("a refusal").reason();
    let said = format!("{reason:?}");
    assert!(!said.contains("canary") && !said.contains("fred"), "{said}");
    reason.code
}

fn both(registry: &Registry, built: &Built) -> [ImageRef; 2] {
    [":v1".to_owned(), format!("@{}", built.digest)].map(|selector| registry.reference(&selector))
}

#[tokio::test]
async fn what_is_pulled_with_credentials_is_not_had_without() {
    let built = secret_image();
    for registry in [asks_for_credentials(&built).await, asks_for_a_token(&built).await] {
        let cache = Cache::new();
        for reference in both(&registry, &built) {
            for nobody in [None, Some(wrong())] {
                assert_eq!(
                    refused(&cache, &reference, nobody).await,
                    ReasonCode::ImageForbidden
                );
            }
        }
        let [by_tag, by_digest] = both(&registry, &built);
        let pulled = cache.images.pull_as(&by_tag, Some(credentials()), &|_| {}).await;
        assert_eq!(pulled.expect("an image").digest, built.digest);
        // It is in the cache now, and still nobody else's.
        for reference in [&by_tag, &by_digest] {
            for nobody in [None, Some(wrong())] {
                assert_eq!(
                    refused(&cache, reference, nobody).await,
                    ReasonCode::ImageForbidden
                );
            }
            let again = cache
                .images
                .pull_as(reference, Some(credentials()), &|_| {})
                .await;
            assert_eq!(again.expect("an image").digest, built.digest);
        }
        assert_fetched_once(&registry);
    }
}

fn assert_fetched_once(registry: &Registry) {
    let hits = registry.hits();
    let blobs: Vec<_> = hits.iter().filter(|(path, _)| path.contains("/blobs/")).collect();
    assert!(
        blobs.len() == 3 && blobs.iter().all(|(_, count)| **count <= 2),
        "a registry may ask once, but each blob is sent once: {hits:?}"
    );
}

/// A registry that knows the private image's documents and digests, and none of its layers.
async fn thief(built: &Built) -> Registry {
    // The last blob is the configuration.
    let layers = &built.blobs[..built.blobs.len() - 1];
    let layers: Vec<_> = layers.iter().map(|(digest, _)| digest.to_string()).collect();
    let fault = move |request: &Request, _| {
        let asks_for_layer = layers.iter().any(|layer| request.uri().path().ends_with(layer));
        asks_for_layer.then(|| StatusCode::NOT_FOUND.into_response())
    };
    Registry::start(&[("v1", built)], Box::new(fault)).await
}

#[tokio::test]
async fn to_know_the_digests_of_a_private_image_opens_nothing() {
    let built = secret_image();
    let (cache, registry, thief) = (
        Cache::new(),
        asks_for_credentials(&built).await,
        thief(&built).await,
    );
    let [by_tag, _] = both(&registry, &built);
    let pulled = cache.images.pull_as(&by_tag, Some(credentials()), &|_| {}).await;
    let image = pulled.expect("an image");
    for reference in both(&thief, &built) {
        for access in [None, Some(wrong())] {
            assert_eq!(
                refused(&cache, &reference, access).await,
                ReasonCode::ImageNotFound
            );
        }
    }
    let again = cache.images.pull_as(&by_tag, Some(credentials()), &|_| {}).await;
    assert_eq!(again.expect("an image"), image, "it is as it was for its owner");
    assert_fetched_once(&registry);
}

#[tokio::test]
async fn a_guarded_layer_is_not_smuggled_into_another_image() {
    let layer = Tar::default().file("etc/secret", b"of the private image").end();
    let config =
        |more: &str| json!({ "architecture": "amd64", "os": "linux", "config": { "Labels": { "x": more } } });
    let private = custom(&[(layer.clone(), Packing::Gzip)], &config("private"));
    let smuggling = custom(&[(layer, Packing::Gzip)], &config("smuggling"));
    assert_eq!(private.blobs[0].0, smuggling.blobs[0].0, "the same layer");
    let (cache, registry, thief) = (
        Cache::new(),
        asks_for_credentials(&private).await,
        thief(&smuggling).await,
    );
    let [reference, _] = both(&registry, &private);
    let pulled = cache
        .images
        .pull_as(&reference, Some(credentials()), &|_| {})
        .await;
    pulled.expect("an image");
    for reference in both(&thief, &smuggling) {
        assert_eq!(refused(&cache, &reference, None).await, ReasonCode::ImageNotFound);
    }
}

#[tokio::test]
async fn who_has_the_layers_may_use_those_of_the_cache() {
    let built = secret_image();
    let cache = Cache::new();
    let (registry, public) = (
        asks_for_credentials(&built).await,
        Registry::good(&[("v1", &built)]).await,
    );
    let [reference, _] = both(&registry, &built);
    let pulled = cache
        .images
        .pull_as(&reference, Some(credentials()), &|_| {})
        .await;
    let image = pulled.expect("an image");
    let files = || -> Vec<u64> {
        let inode = |disk: &::image::ImageDisk| std::fs::metadata(&disk.path).expect("a disk").ino();
        image.disks.iter().map(inode).collect()
    };
    let before = files();
    let [elsewhere, _] = both(&public, &built);
    assert_eq!(cache.pull(&elsewhere).await.expect("the image"), image);
    assert_eq!(
        public.hits().len(),
        4,
        "it showed that it has every blob: {:?}",
        public.hits()
    );
    assert_eq!(files(), before, "running VMs keep their disks");
    // Anybody had it: it is open from now on, also to who only knows it.
    let thief = thief(&built).await;
    let [known, _] = both(&thief, &built);
    assert_eq!(cache.pull(&known).await.expect("the image"), image);
}

#[tokio::test]
async fn credentials_are_shown_only_to_who_asks_and_written_nowhere() {
    let built = secret_image();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let look = move |request: &Request, _| {
        log.lock()
            .expect("the log")
            .push(shown(request).map(str::to_owned));
        None
    };
    let open = Registry::start(&[("v1", &built)], Box::new(look)).await;
    let cache = Cache::new();
    let [reference, _] = both(&open, &built);
    let pulled = cache
        .images
        .pull_as(&reference, Some(credentials()), &|_| {})
        .await;
    pulled.expect("an image");
    let seen = seen.lock().expect("the log").clone();
    assert!(seen.len() >= 4 && seen.iter().all(Option::is_none), "{seen:?}");

    let closed = asks_for_credentials(&built).await;
    let [reference, _] = both(&closed, &built);
    let pulled = cache
        .images
        .pull_as(&reference, Some(credentials()), &|_| {})
        .await;
    pulled.expect("an image");
    for path in cache.listing().into_iter().filter(|path| path.is_file()) {
        let content = std::fs::read(&path).expect("a file");
        for canary in ["canary", "ZnJlZDpjYW5hcnk"] {
            let found = content
                .windows(canary.len())
                .any(|part| part == canary.as_bytes());
            assert!(!found, "{} holds the password", path.display());
        }
    }
}
