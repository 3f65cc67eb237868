//! Tags and conditions, waiting, and lists, as clients meet them.

mod filters;

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, StatusCode};
use model::Phase;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::cloud::{Answer, Cloud};
use crate::{assert_problem, wish};

impl Cloud {
    async fn call_if(&self, method: Method, path: &str, tag: &str, body: Value) -> Answer {
        let request = self
            .request(Some(&self.token), method, path)
            .header("content-type", "application/json")
            .header("if-match", tag);
        self.send(request, body.to_string().into_bytes()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// A request that is under way while something else happens; gives the body of its answer.
    fn later(&self, method: Method, path: &str) -> impl Future<Output = Value> + use<> {
        let request = self.request(Some(&self.token), method, path);
        let answer = tokio::spawn(self.router.clone().oneshot(request.body(Body::empty()).unwrap()));
        async move {
            let body = answer.await.unwrap().unwrap().into_body();
            serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap()
        }
    }
}

#[tokio::test]
async fn a_tag_is_what_is_asked_and_not_where_it_stands() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let created = cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await;
    let id = created.body["id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("etag"), Some("\"1\""));
    cloud.host_reports(&[(&id, Phase::Running, 1)]).await;
    let request = cloud
        .request(Some(&cloud.token), Method::GET, "/v1/vms/web")
        .header("if-none-match", "\"1\"");
    let running = cloud.send(request, Vec::new()).await;
    assert_eq!(
        (running.status, running.header("etag")),
        (StatusCode::OK, Some("\"1\""))
    );
    let label = |value: Value| json!({ "labels": { "tier": value } });
    let labelled = cloud
        .call_if(Method::PATCH, "/v1/vms/web", "\"1\"", label("web".into()))
        .await;
    assert_eq!(
        (labelled.status, labelled.header("etag")),
        (StatusCode::OK, Some("\"2\""))
    );
    assert_eq!(labelled.body["labels"], json!({ "tier": "web" }));
    for (method, path) in [
        (Method::PATCH, "/v1/vms/web"),
        (Method::DELETE, "/v1/vms/web"),
        (Method::POST, "/v1/vms/web/stop"),
    ] {
        let late = cloud.call_if(method, path, "\"1\"", label(Value::Null)).await;
        assert_problem(&late, 412, "changed");
    }
    let removed = cloud
        .call_if(Method::PATCH, "/v1/vms/web", "\"7\", \"2\"", label(Value::Null))
        .await;
    assert_eq!(
        (removed.header("etag"), &removed.body["labels"]),
        (Some("\"3\""), &json!({}))
    );
    let stopped = cloud
        .call_if(Method::POST, "/v1/vms/web/stop", "*", json!({}))
        .await;
    assert_eq!(
        (stopped.status, stopped.header("etag")),
        (StatusCode::OK, Some("\"4\""))
    );
}

#[tokio::test]
async fn a_patch_changes_options_and_leaves_the_others() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await;
    let patch = async |patch: Value| cloud.call(Method::PATCH, "/v1/vms/web", Some(patch)).await;
    let changed =
        patch(json!({ "image_keys": true, "service": { "command": ["a", "b"], "restart": "always" } })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let service = &changed.body["service"];
    assert_eq!(
        (&service["command"], &service["restart"]),
        (&json!(["a", "b"]), &json!("always"))
    );
    let changed = patch(json!({ "service": { "command": null, "enabled": false } }))
        .await
        .body;
    let service = &changed["service"];
    assert_eq!(
        (&service["command"], &service["restart"]),
        (&Value::Null, &json!("always"))
    );
    assert_eq!(
        (&service["enabled"], &changed["image_keys"]),
        (&json!(false), &json!(true))
    );
    for (wrong, pointer) in [
        (json!({ "service": { "restart": "often" } }), "/service/restart"),
        (json!({ "service": { "command": [] } }), "/service/command"),
        (json!({ "labels": { "A": "b" } }), "/labels/A"),
        (json!({ "user_cas": ["nonsense"] }), "/user_cas/0"),
    ] {
        let refused = patch(wrong).await;
        assert_problem(&refused, 422, "invalid_value");
        assert_eq!(refused.body["pointer"], pointer);
    }
}

#[tokio::test]
async fn a_wait_ends_when_it_comes_about() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let created = cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await.body;
    let id = created["id"].as_str().unwrap().to_owned();
    let at_once = cloud.get("/v1/vms/web/wait?for=RUNNING&timeout=0").await;
    assert_eq!(
        (at_once.status, &at_once.body["reached"]),
        (StatusCode::OK, &json!(false))
    );
    assert_eq!(at_once.body["vm"]["status"], "INIT");
    let waiting = cloud.later(Method::GET, "/v1/vms/web/wait?for=RUNNING");
    cloud.host_reports(&[(&id, Phase::Running, 1)]).await;
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap();
    assert_eq!(waited["reached"], true);
    assert_eq!(waited["vm"]["status"], "RUNNING");
    // What was seen before it was asked does not count.
    let newer = cloud
        .get("/v1/vms/web/wait?for=RUNNING&generation=2&timeout=0")
        .await;
    assert_eq!(newer.body["reached"], false);
    // That the host has settled on it is no event, and wakes all the same.
    let label = json!({ "labels": { "tier": "web" } });
    cloud.call(Method::PATCH, "/v1/vms/web", Some(label)).await;
    let settled = cloud.later(Method::GET, "/v1/vms/web/wait?for=RUNNING");
    cloud.host_reports(&[(&id, Phase::Running, 2)]).await;
    let settled = tokio::time::timeout(Duration::from_secs(20), settled)
        .await
        .unwrap();
    assert_eq!(settled["reached"], true);
    cloud.host_reports(&[(&id, Phase::Failed, 2)]).await;
    let never = cloud.get("/v1/vms/web/wait?for=STOPPED").await;
    assert_problem(&never, 409, "wait_impossible");
    let failed = cloud.get("/v1/vms/web/wait?for=ERROR").await;
    assert_eq!(failed.body["reached"], true);
    let gone = cloud.later(Method::GET, &format!("/v1/vms/{id}/wait?for=DELETED"));
    cloud.call(Method::DELETE, "/v1/vms/web", None).await;
    assert_problem(
        &cloud.get("/v1/vms/web/wait?for=RUNNING").await,
        409,
        "wait_impossible",
    );
    cloud.host_reports(&[(&id, Phase::Gone, 3)]).await;
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(gone, json!({ "reached": true, "vm": null }));
    let late = cloud.get(&format!("/v1/vms/{id}/wait?for=DELETED")).await;
    assert_eq!(late.body, json!({ "reached": true, "vm": null }), "{late:?}");
    assert_problem(&cloud.get("/v1/vms/web/wait?for=DELETED").await, 404, "not_found");
    for (query, code) in [
        ("for=running", "invalid_value"),
        ("for=RUNNING&timeout=301", "invalid_value"),
        ("timeout=1", "invalid_request"),
        ("for=RUNNING&until=1", "invalid_request"),
    ] {
        let refused = cloud.get(&format!("/v1/vms/web/wait?{query}")).await;
        assert_eq!(refused.body["code"], code, "{query}");
    }
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursors() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    for number in 0..5 {
        let mut wish = wish(&format!("web-{number}"));
        wish["labels"] = json!({ "odd": (number % 2 == 1).to_string() });
        let created = cloud.call(Method::POST, "/v1/vms", Some(wish)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    }
    let names = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap().iter();
        items.map(|vm| vm["name"].as_str().unwrap().to_owned()).collect()
    };
    let (mut met, mut path) = (Vec::new(), "/v1/vms?limit=2&sort=-name".to_owned());
    loop {
        let page = cloud.get(&path).await;
        met.extend(names(&page));
        let Some(next) = page.body["next"].as_str() else {
            break;
        };
        path = format!("/v1/vms?limit=2&sort=-name&cursor={next}");
    }
    assert_eq!(met, ["web-4", "web-3", "web-2", "web-1", "web-0"]);
    let odd = cloud.get("/v1/vms?label=odd%3Dtrue&sort=name").await;
    assert_eq!(names(&odd), ["web-1", "web-3"]);
    for (query, status, code) in [
        ("cursor=nonsense", 400, "invalid_cursor"),
        ("limit=0", 422, "invalid_value"),
        ("limit=501", 422, "invalid_value"),
        ("sort=status", 422, "invalid_value"),
        ("colour=red", 400, "invalid_request"),
        ("limit=two", 400, "invalid_request"),
    ] {
        assert_problem(&cloud.get(&format!("/v1/vms?{query}")).await, status, code);
    }
}
