//! Pulls over HTTP: from registries that behave and from those that do not.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{ReasonCode, Retry};
use serde_json::json;

use crate::support::Cache;
use crate::support::image::{Built, Packing, custom, gzipped, image};
use crate::support::registry::Registry;
use crate::support::tar::Tar;

fn simple() -> Built {
    let base = Tar::default()
        .dir("etc")
        .file("etc/os-release", b"ID=test\n")
        .end();
    let noise: Vec<u8> = (0..2_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    gzipped(&[base, Tar::default().file("srv/noise", &noise).end()])
}

fn is_layer(image: &Built, request: &Request, index: usize) -> bool {
    request.uri().path().ends_with(&image.blobs[index].0.to_string())
}

fn status(status: StatusCode) -> Option<Response> {
    Some(status.into_response())
}

#[tokio::test]
async fn a_pull_is_answered_from_the_cache_the_second_time() {
    let built = simple();
    let registry = Registry::good(&[("v1", &built)]).await;
    let cache = Cache::new();
    let first = cache.pull(&registry.reference(":v1")).await.expect("an image");
    assert_eq!(first.digest, built.digest);
    assert_eq!(
        (first.config.user.as_deref(), first.config.cmd.as_slice()),
        (Some("7"), &["/bin/sh".to_owned()][..])
    );
    assert_eq!(first.disks.len(), 3);
    let by_digest = registry.reference(&format!("@{}", built.digest));
    assert_eq!(cache.pull(&by_digest).await.expect("the image"), first);
    assert_eq!(cache.images.get(&built.digest).expect("the cache"), Some(first));
    assert!(
        registry
            .hits()
            .iter()
            .all(|(path, &count)| count == 1 || path.contains("manifests")),
        "{:?}",
        registry.hits()
    );
    let list = cache.images.list().expect("the cache");
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].references.len(), 2);
}

#[tokio::test]
async fn two_pulls_at_once_do_the_work_once() {
    let built = simple();
    let registry = Registry::good(&[("v1", &built)]).await;
    let cache = Cache::new();
    let other = Cache::at(&cache.root, |_| {});
    let reference = registry.reference(":v1");
    let (one, two, three) = tokio::join!(
        cache.pull(&reference),
        cache.pull(&reference),
        other.pull(&reference)
    );
    let one = one.expect("an image");
    assert_eq!(one, two.expect("the same image"));
    assert_eq!(one, three.expect("the same image"));
    for (path, count) in registry.hits() {
        assert!(
            count == 1 || path.contains("manifests"),
            "{path} was asked for {count} times"
        );
    }
}

#[tokio::test]
async fn images_share_layers() {
    let base = Tar::default().file("a", &[1; 10_000]).end();
    let one = gzipped(std::slice::from_ref(&base));
    let two = gzipped(&[base.clone(), Tar::default().file("b", b"b").end(), base]);
    let registry = Registry::good(&[("one", &one), ("two", &two)]).await;
    let cache = Cache::new();
    let first = cache.pull(&registry.reference(":one")).await.expect("an image");
    let second = cache.pull(&registry.reference(":two")).await.expect("an image");
    assert_eq!(second.disks.len(), 3, "a layer that is there twice is one disk");
    assert_eq!(first.disks[1], second.disks[1]);
    assert!(
        registry
            .hits()
            .iter()
            .all(|(path, &count)| count == 1 || path.contains("manifests"))
    );
}

#[tokio::test]
async fn every_failure_has_its_reason_and_leaves_nothing() {
    type Fault = fn(&Built, &Request, usize) -> Option<Response>;
    let spoil = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let cases: [(&str, ReasonCode, Retry, Fault); 7] = [
        (
            "not there",
            ReasonCode::ImageNotFound,
            Retry::OnNewWish,
            |_, _, _| status(StatusCode::NOT_FOUND),
        ),
        (
            "no access",
            ReasonCode::ImageForbidden,
            Retry::OnNewWish,
            |_, _, _| status(StatusCode::FORBIDDEN),
        ),
        (
            "signs in otherwise",
            ReasonCode::ImageForbidden,
            Retry::OnNewWish,
            |_, _, _| {
                Some(
                    (
                        StatusCode::UNAUTHORIZED,
                        [(header::WWW_AUTHENTICATE, "Basic realm=\"x\"")],
                    )
                        .into_response(),
                )
            },
        ),
        (
            "in trouble",
            ReasonCode::RegistryFailed,
            Retry::Later,
            |image, request, _| {
                is_layer(image, request, 0).then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
            },
        ),
        (
            "a teapot",
            ReasonCode::RegistryFailed,
            Retry::OnNewWish,
            |_, _, _| status(StatusCode::IM_A_TEAPOT),
        ),
        (
            "short layer",
            ReasonCode::LayerTruncated,
            Retry::OnNewWish,
            |image, request, _| {
                let half = image.blobs[1].1[..1000].to_vec();
                is_layer(image, request, 1).then(|| half.into_response())
            },
        ),
        (
            "long layer",
            ReasonCode::DigestMismatch,
            Retry::OnNewWish,
            |image, request, _| {
                let long = [&image.blobs[1].1[..], b"x"].concat();
                is_layer(image, request, 1).then(|| long.into_response())
            },
        ),
    ];
    let built = simple();
    for (what, code, retry, fault) in cases {
        let image = built.clone();
        let registry = Registry::start(
            &[("v1", &built)],
            Box::new(move |request, n| fault(&image, request, n)),
        )
        .await;
        let reason = Cache::new().refusal(&registry.reference(":v1")).await;
        assert_eq!((reason.code, reason.retry), (code, retry), "{what}: {reason}");
        assert!(!reason.hint.is_empty());
    }
    for index in 0..3 {
        let image = built.clone();
        let spoiled = spoil(&built.blobs[index].1);
        let fault = move |request: &Request, _| {
            is_layer(&image, request, index).then(|| spoiled.clone().into_response())
        };
        let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
        let cache = Cache::new();
        let reason = cache
            .pull(&registry.reference(":v1"))
            .await
            .expect_err("a refusal")
            .reason();
        assert_eq!(reason.code, ReasonCode::DigestMismatch, "blob {index}: {reason}");
    }
}

#[tokio::test]
async fn a_manifest_must_have_the_digest_asked_for() {
    let (built, other) = (simple(), gzipped(&[]));
    let answer = other.manifest.clone();
    let registry = Registry::start(
        &[("v1", &built)],
        Box::new(move |_, _| Some(answer.clone().into_response())),
    )
    .await;
    let reason = Cache::new()
        .refusal(&registry.reference(&format!("@{}", built.digest)))
        .await;
    assert_eq!(reason.code, ReasonCode::DigestMismatch, "{reason}");
}

#[tokio::test]
async fn a_layer_must_have_its_diff_id() {
    let tar = Tar::default().file("a", b"a").end();
    let wrong = json!({ "type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))] });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": wrong });
    for packing in [Packing::Gzip, Packing::Zstd, Packing::Plain] {
        let built = custom(&[(tar.clone(), packing)], &config);
        let registry = Registry::good(&[("v1", &built)]).await;
        let reason = Cache::new().refusal(&registry.reference(":v1")).await;
        assert_eq!(reason.code, ReasonCode::DigestMismatch, "{reason}");
    }
}

#[tokio::test]
async fn an_image_for_other_processors_is_refused() {
    let built = custom(&[], &json!({ "architecture": "riscv64", "os": "linux" }));
    let registry = Registry::good(&[("v1", &built)]).await;
    let reason = Cache::new().refusal(&registry.reference(":v1")).await;
    assert_eq!(reason.code, ReasonCode::WrongArchitecture);
    assert!(
        reason.message.contains("linux/riscv64") && reason.message.contains("amd64"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_index_leads_to_the_manifest_for_this_platform() {
    let (amd, arm) = (simple(), gzipped(&[]));
    let entry = |image: &Built, architecture: &str| {
        json!({ "digest": image.digest.to_string(), "size": image.manifest.len(),
                "platform": { "os": "linux", "architecture": architecture } })
    };
    let index = |entries| {
        json!({ "schemaVersion": 2, "manifests": entries })
            .to_string()
            .into_bytes()
    };
    let both = index(json!([entry(&arm, "arm64"), entry(&amd, "amd64")]));
    let neither = index(json!([entry(&arm, "arm64")]));
    let fault = move |request: &Request, _| match request.uri().path() {
        path if path.ends_with("/both") => Some(both.clone().into_response()),
        path if path.ends_with("/neither") => Some(neither.clone().into_response()),
        _ => None,
    };
    let registry = Registry::start(&[("amd", &amd), ("arm", &arm)], Box::new(fault)).await;
    let cache = Cache::new();
    assert_eq!(
        cache
            .pull(&registry.reference(":both"))
            .await
            .expect("an image")
            .digest,
        amd.digest
    );
    let reason = Cache::new().refusal(&registry.reference(":neither")).await;
    assert_eq!(reason.code, ReasonCode::WrongArchitecture);
    assert!(reason.message.contains("linux/arm64"), "{reason}");
}

#[tokio::test]
async fn nobody_at_the_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let reference = format!("{free}/a/b").parse().expect("a reference");
    let reason = Cache::new().refusal(&reference).await;
    assert_eq!(
        (reason.code, reason.retry),
        (ReasonCode::RegistryUnreachable, Retry::Later),
        "{reason}"
    );
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let built = simple();
    let image = built.clone();
    let fault = move |request: &Request, _| {
        is_layer(&image, request, 1).then(|| {
            let start = Bytes::copy_from_slice(&image.blobs[1].1[..1000]);
            let then_nothing = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            let start = futures_util::stream::iter([Ok(start)]);
            Response::new(Body::from_stream(futures_util::StreamExt::chain(
                start,
                then_nothing,
            )))
        })
    };
    let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
    let cache = Cache::new();
    let pulled = tokio::time::timeout(Duration::from_secs(20), cache.pull(&registry.reference(":v1"))).await;
    let reason = pulled.expect("an end").expect_err("a refusal").reason();
    assert_eq!(
        (reason.code, reason.retry),
        (ReasonCode::RegistryUnreachable, Retry::Later),
        "{reason}"
    );
}

#[tokio::test]
async fn a_registry_that_never_answers_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let reference = format!("{address}/a/b").parse().expect("a reference");
    let reason = Cache::new().refusal(&reference).await;
    assert_eq!(reason.code, ReasonCode::RegistryUnreachable, "{reason}");
}

#[tokio::test]
async fn redirects_are_followed() {
    let built = simple();
    let image = built.clone();
    let fault = move |request: &Request, _| {
        let digest = image.blobs[1].0.to_string();
        match request.uri().path() {
            "/storage" => Some(image.blobs[1].1.clone().into_response()),
            path if path.ends_with(&digest) => {
                Some((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/storage")]).into_response())
            }
            _ => None,
        }
    };
    let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
    let (cache, reference) = (Cache::new(), registry.reference(":v1"));
    // A pull may run on any thread.
    let pulled = tokio::spawn(async move { cache.pull(&reference).await }).await;
    assert_eq!(pulled.expect("its end").expect("an image").digest, built.digest);
}

#[tokio::test]
async fn a_moment_of_trouble_is_overcome() {
    let built = simple();
    let image = built.clone();
    let fault = move |request: &Request, before| match before {
        0 => status(StatusCode::INTERNAL_SERVER_ERROR),
        // A layer whose connection breaks half-way.
        1 if is_layer(&image, request, 1) => {
            let start = Ok(Bytes::copy_from_slice(&image.blobs[1].1[..1000]));
            let parts = futures_util::stream::iter([start, Err(std::io::Error::other("broken"))]);
            Some(Response::new(Body::from_stream(parts)))
        }
        _ => None,
    };
    let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
    let cache = Cache::new();
    assert_eq!(
        cache
            .pull(&registry.reference(":v1"))
            .await
            .expect("an image")
            .digest,
        built.digest
    );
}

#[tokio::test]
async fn a_token_is_fetched_and_shown() {
    let built = simple();
    let address = Arc::new(std::sync::OnceLock::<std::net::SocketAddr>::new());
    let own = Arc::clone(&address);
    let fault = move |request: &Request, _| {
        if request.uri().path() == "/token" {
            let query = request.uri().query().unwrap_or_default();
            let asks_right =
                query.contains("service=here") && query.contains("scope=repository%3Atest%2Fapp%3Apull");
            return Some(if asks_right {
                "{\"token\":\"t0k\"}".into_response()
            } else {
                StatusCode::BAD_REQUEST.into_response()
            });
        }
        let shown = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        (shown != Some("Bearer t0k")).then(|| {
            let realm = format!("http://{}/token", own.get().expect("an address"));
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:test/app:pull\"");
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        })
    };
    let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
    address.set(registry.address).expect("once");
    let cache = Cache::new();
    assert_eq!(
        cache
            .pull(&registry.reference(":v1"))
            .await
            .expect("an image")
            .digest,
        built.digest
    );
    assert_eq!(registry.hits().get("/token"), Some(&1));
}

#[tokio::test]
async fn a_dropped_pull_stops_and_leaves_nothing_half_made() {
    let built = image(&[(Tar::default().file("a", &[7; 3_000_000]).end(), Packing::Plain)]);
    let blob = built.clone();
    let fault = move |request: &Request, _| {
        is_layer(&blob, request, 0).then(|| {
            let start = Bytes::copy_from_slice(&blob.blobs[0].1[..2_000_000]);
            let start = futures_util::stream::iter([Ok::<_, std::io::Error>(start)]);
            Response::new(Body::from_stream(futures_util::StreamExt::chain(
                start,
                futures_util::stream::pending(),
            )))
        })
    };
    let registry = Registry::start(&[("v1", &built)], Box::new(fault)).await;
    let cache = Cache::new();
    let before = cache.listing();
    let (seen, started) = tokio::sync::watch::channel(false);
    let progress = move |event| {
        seen.send_replace(matches!(event, ::image::PullEvent::LayerProgress { .. }));
    };
    let reference = registry.reference(":v1");
    let mut started = started;
    tokio::select! {
        _ = cache.images.pull(&reference, &progress) => panic!("it cannot end"),
        _ = started.wait_for(|&started| started) => {}
    }
    let limit = std::time::Instant::now() + Duration::from_secs(5);
    while cache.listing() != before {
        assert!(std::time::Instant::now() < limit, "left: {:?}", cache.listing());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
