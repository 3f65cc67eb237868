//! The real router over a real control plane and an empty database, called in process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod audited;
mod cloud;
mod limits;
mod once;
mod terms;

use std::fmt::Write;
use std::path::Path;

use api::{Access, endpoints};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Answer, Cloud, KEY};

fn wish(name: &str) -> Value {
    json!({ "name": name, "image": "debian:12", "keys": [KEY] })
}

fn filled(path: &str) -> String {
    path.replace("{vm}", "vm_00000000000000000000000000")
        .replace("{host}", "box1")
        .replace("{code}", "not_found")
        .replace("{exec}", "exec_00000000000000000000000000")
        .replace("{token}", "token_00000000000000000000000000")
        .replace("{fingerprint}", "SHA256:none")
        .replace("{user}", "nobody")
        .replace("{team}", "nothing")
        .replace("{principal}", "nobody")
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.body["code"].as_str()),
        (status, Some(code)),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["request_id"].as_str(), answer.header("x-request-id"));
}

#[tokio::test]
async fn nobody_gets_past_the_door() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    for endpoint in endpoints() {
        let path = filled(endpoint.path);
        for token in [
            None,
            Some("nonsense"),
            Some("pwt_0000000000000000000000000000000000"),
        ] {
            let answer = cloud
                .call_as(token, endpoint.method.clone(), &path, Some(json!({})))
                .await;
            match endpoint.access {
                Access::Open if endpoint.request.is_some() => {
                    assert_problem(&answer, 400, "invalid_request");
                }
                Access::Open => assert_eq!(answer.status, StatusCode::OK, "{} {path}", endpoint.method),
                Access::Token | Access::Scope(_) => {
                    assert_problem(&answer, 401, "unauthenticated");
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                }
            }
        }
    }
}

#[tokio::test]
async fn the_admin_gets_past_it_everywhere() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    // Signing out comes last of all that a token can do.
    for endpoint in endpoints().filter(|endpoint| endpoint.operation_id != "logout") {
        let answer = cloud
            .call(endpoint.method.clone(), &filled(endpoint.path), Some(json!({})))
            .await;
        let is_known = answer.status.is_success() || answer.body["code"].is_string();
        assert!(
            is_known && answer.status != StatusCode::UNAUTHORIZED && !answer.status.is_server_error(),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_vm_is_created_followed_and_removed() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let created = cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(created.header("location"), Some(format!("/v1/vms/{id}").as_str()));
    assert_eq!(
        (
            created.body["status"].as_str(),
            created.body["memory_bytes"].as_u64()
        ),
        (Some("INIT"), Some(512 << 20))
    );

    let mut events = cloud.follow("web", None).await;
    cloud.host_reports(&[(id, model::Phase::Running, 1)]).await;
    let ids = events.until(|event| event["status"] == "RUNNING").await;
    let running = cloud.call(Method::GET, "/v1/vms/web", None).await.body;
    assert_eq!(
        (running["status"].as_str(), running["host_key"].as_str()),
        (Some("RUNNING"), Some(cloud::HOST_KEY))
    );
    assert!(
        running["ssh"].as_str().unwrap().ends_with("fred@172.30.0.3"),
        "{}",
        running["ssh"]
    );
    assert_eq!(running["settled_generation"], running["generation"]);

    let stopped = cloud.call(Method::POST, "/v1/vms/web/stop", None).await;
    assert_eq!(
        (stopped.status, stopped.body["status"].as_str()),
        (StatusCode::OK, Some("STOPPING"))
    );
    for _ in 0..2 {
        let going = cloud.call(Method::DELETE, &format!("/v1/vms/{id}"), None).await;
        assert_eq!(
            (going.status, going.body["status"].as_str()),
            (StatusCode::ACCEPTED, Some("DELETING"))
        );
    }
    let generation = cloud.call(Method::GET, &format!("/v1/vms/{id}"), None).await.body["generation"]
        .as_u64()
        .unwrap();
    cloud.host_reports(&[(id, model::Phase::Gone, generation)]).await;
    events.until(|event| event["type"] == "deleted").await;
    assert_problem(
        &cloud.call(Method::GET, "/v1/vms/web", None).await,
        404,
        "not_found",
    );
    assert!(!ids.is_empty());
}

#[tokio::test]
async fn a_patch_replaces_the_keys_and_nothing_else() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let created = cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await.body;
    assert_eq!(created["keys"], json!([KEY]));
    let other = format!("{KEY} and another");
    let patch = async |kind: &str, patch: Value| {
        let request = cloud
            .request(Some(&cloud.token), Method::PATCH, "/v1/vms/web")
            .header("content-type", kind);
        cloud.send(request, patch.to_string().into_bytes()).await
    };
    let merge = "application/merge-patch+json";
    let changed = patch(merge, json!({ "keys": [KEY, other] })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let mut expected = created;
    expected["keys"] = json!([KEY, other]);
    expected["generation"] = 2.into();
    assert_eq!(changed.body, expected);
    for kind in ["application/json", merge] {
        let same = patch(kind, json!({})).await;
        assert_eq!((same.status, &same.body), (StatusCode::OK, &expected));
    }
    for (wrong, code, pointer) in [
        (json!({ "keys": [KEY, "nonsense"] }), "invalid_value", "/keys/1"),
        (json!({ "keys": null }), "invalid_request", "/keys"),
        (json!({ "memory_bytes": 1 }), "invalid_request", "/memory_bytes"),
    ] {
        let refused = patch(merge, wrong).await;
        assert_eq!(refused.body["code"], code, "{refused:?}");
        assert_eq!(refused.body["pointer"], pointer);
    }
    assert_problem(
        &patch("text/plain", json!({})).await,
        415,
        "unsupported_media_type",
    );
    let shown = cloud.call(Method::GET, "/v1/vms/web", None).await.body;
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn events_go_on_behind_the_last_one_known() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let created = cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await.body;
    let id = created["id"].as_str().unwrap();
    cloud.host_reports(&[(id, model::Phase::Running, 1)]).await;
    let ids = cloud
        .follow("web", None)
        .await
        .until(|event| event["status"] == "RUNNING")
        .await;
    let (first, rest) = ids.split_first().unwrap();
    let again = cloud
        .follow("web", Some(first))
        .await
        .until(|event| event["status"] == "RUNNING")
        .await;
    assert_eq!(again, rest);
    let lost = cloud.follow("web", Some("nonsense")).await.first_name().await;
    assert_eq!(lost, "reset");
}

#[tokio::test]
async fn a_request_keeps_its_id_and_a_path_its_methods() {
    let cloud = Cloud::open().await;
    let answer = cloud.call(Method::PUT, "/v1/vms", None).await;
    assert_problem(&answer, 405, "method_not_allowed");
    let mut allowed: Vec<_> = answer
        .header("allow")
        .unwrap()
        .split(',')
        .map(str::trim)
        .collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let request = cloud
        .request(None, Method::GET, "/nowhere")
        .header("x-request-id", "from-the-client");
    let answer = cloud.send(request, Vec::new()).await;
    assert_problem(&answer, 404, "not_found");
    assert_eq!(answer.header("x-request-id"), Some("from-the-client"));
}

/// What clients meet when they err, word for word.
#[tokio::test]
async fn problem_bodies_are_the_checked_in_ones() {
    let cloud = Cloud::open().await;
    let key = |key: &str| json!({ "name": "web", "image": "debian", "keys": [KEY, key] });
    let cases = [
        (
            "no token",
            cloud.call_as(None, Method::GET, "/v1/vms", None).await,
        ),
        (
            "nothing under the path",
            cloud.call(Method::GET, "/v1/nothing", None).await,
        ),
        (
            "a VM that is not there",
            cloud.call(Method::GET, "/v1/vms/web", None).await,
        ),
        (
            "neither name nor id",
            cloud.call(Method::GET, "/v1/vms/WEB%20", None).await,
        ),
        (
            "a path that is not UTF-8",
            cloud.call(Method::GET, "/v1/vms/%FF", None).await,
        ),
        (
            "a method the path does not take",
            cloud.call(Method::DELETE, "/v1/vms", None).await,
        ),
        (
            "an unknown field",
            cloud
                .call(Method::POST, "/v1/vms", Some(json!({ "colour": "red" })))
                .await,
        ),
        (
            "a field of another type",
            cloud
                .call(
                    Method::POST,
                    "/v1/vms",
                    Some(json!({ "name": "a", "cpus": "two" })),
                )
                .await,
        ),
        (
            "a missing field",
            cloud
                .call(Method::POST, "/v1/vms", Some(json!({ "name": "a" })))
                .await,
        ),
        (
            "a bad name",
            cloud.call(Method::POST, "/v1/vms", Some(wish("Web_1"))).await,
        ),
        (
            "a bad image",
            cloud
                .call(
                    Method::POST,
                    "/v1/vms",
                    Some(json!({ "name": "a", "image": "A B", "keys": [KEY] })),
                )
                .await,
        ),
        (
            "a private key",
            cloud
                .call(
                    Method::POST,
                    "/v1/vms",
                    Some(key("-----BEGIN OPENSSH PRIVATE KEY-----")),
                )
                .await,
        ),
        (
            "no key",
            cloud
                .call(
                    Method::POST,
                    "/v1/vms",
                    Some(json!({ "name": "a", "image": "b", "keys": [] })),
                )
                .await,
        ),
        (
            "no host",
            cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await,
        ),
        (
            "an unknown host",
            cloud.call(Method::GET, "/v1/hosts/nowhere/found", None).await,
        ),
        (
            "a found VM by name",
            cloud
                .call(Method::DELETE, "/v1/hosts/nowhere/found/web", None)
                .await,
        ),
        (
            "broken JSON",
            cloud.post_raw("application/json", b"{\"name\"".to_vec()).await,
        ),
        (
            "another media type",
            cloud.post_raw("text/plain", b"{}".to_vec()).await,
        ),
        (
            "too much",
            cloud.post_raw("application/json", vec![b' '; 300 << 10]).await,
        ),
    ];
    let mut text = String::new();
    for (case, mut answer) in cases {
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{case}: {answer:?}"
        );
        answer.body["request_id"] = "…".into();
        writeln!(
            text,
            "{case}\n{}\n",
            serde_json::to_string_pretty(&answer.body).unwrap()
        )
        .unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/problems.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == checked_in,
        "problem bodies changed; look at the difference after: UPDATE_GOLDEN=1 cargo test -p server"
    );
}

/// The document and control's table speak of the same operations: each with the one scope that it needs, or none.
#[test]
fn each_operation_needs_the_scope_that_control_asks_for() {
    for endpoint in endpoints() {
        let known = control::Operation::ALL
            .iter()
            .find(|operation| operation.as_str() == endpoint.operation_id);
        let expected = known.map_or(Access::Open, |operation| {
            operation.scope().map_or(Access::Token, Access::Scope)
        });
        assert_eq!(endpoint.access, expected, "{}", endpoint.operation_id);
    }
}
