//! What is refused because there is no more of it, as clients meet it; and the streams that no document names.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Answer, Cloud};
use crate::{assert_problem, wish};

impl Cloud {
    /// The token of a new user who signed in.
    pub(crate) async fn member(&self, name: &str) -> String {
        let made = self
            .call(Method::POST, "/v1/users", Some(json!({ "name": name })))
            .await;
        let login = json!({ "code": made.body["secret"], "name": "a test" });
        let token = self.call_as(None, Method::POST, "/v1/login", Some(login)).await;
        token.body["secret"].as_str().unwrap().to_owned()
    }

    async fn limit(&self, who: &str, limits: Value) {
        let put = self
            .call(Method::PUT, &format!("/v1/quotas/{who}"), Some(limits))
            .await;
        assert_eq!(put.status, StatusCode::OK, "{put:?}");
    }
}

/// Limit, use, what more was asked for, whose quota it is and of what, each a field of its own.
fn assert_quota(answer: &Answer, expected: Value) {
    assert_problem(answer, 409, "quota_exceeded");
    let fields = ["limit", "used", "requested", "scope", "resource"];
    let told: Value = fields.map(|field| answer.body[field].clone()).into();
    assert_eq!(told, expected, "{answer:?}");
}

#[tokio::test]
async fn a_quota_is_told_in_fields() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let ann = cloud.member("ann").await;
    let ask = async |method: Method, path: &str, body: Value| {
        cloud.call_as(Some(&ann), method, path, Some(body)).await
    };
    cloud.limit("ann", json!({ "vms": 1, "running": 1 })).await;
    ask(Method::POST, "/v1/vms", wish("one")).await;
    let refused = ask(Method::POST, "/v1/vms", wish("two")).await;
    assert_quota(&refused, json!([1, 1, 1, "user", "vms"]));

    cloud.limit("ann", json!({ "memory_bytes": 600 << 20 })).await;
    let more = json!({ "memory_bytes": 1 << 30, "restart": true });
    let refused = ask(Method::POST, "/v1/vms/one/resize", more).await;
    assert_quota(
        &refused,
        json!([600 << 20, 512 << 20, 512 << 20, "user", "memory_bytes"]),
    );

    ask(Method::POST, "/v1/vms/one/stop", json!({})).await;
    cloud.limit("ann", json!({ "running": 0 })).await;
    let refused = ask(Method::POST, "/v1/vms/one/start", json!({})).await;
    assert_quota(&refused, json!([0, 0, 1, "user", "running"]));

    let team = json!({ "name": "ops" });
    cloud.call(Method::POST, "/v1/teams", Some(team)).await;
    let member = json!({ "role": "member" });
    cloud
        .call(Method::PUT, "/v1/teams/ops/members/ann", Some(member))
        .await;
    cloud.limit("ops", json!({ "disk_bytes": 1 << 30 })).await;
    let to = json!({ "to": "ops" });
    let refused = ask(Method::POST, "/v1/vms/one/transfer", to).await;
    assert_quota(&refused, json!([1 << 30, 0, 2_u64 << 30, "team", "disk_bytes"]));
}

#[tokio::test]
async fn a_host_without_room_is_a_conflict() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let mut large = wish("large");
    large["cpus"] = 9.into();
    let refused = cloud.call(Method::POST, "/v1/vms", Some(large)).await;
    assert_problem(&refused, 409, "no_capacity");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("box1 has 8 processors left"), "{detail}");
    assert_eq!(
        refused.body["limit"],
        Value::Null,
        "a host is no quota: {refused:?}"
    );
    cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await;
    let larger = json!({ "cpus": 9, "restart": true });
    let refused = cloud.call(Method::POST, "/v1/vms/web/resize", Some(larger)).await;
    assert_problem(&refused, 409, "no_capacity");
}

/// They are WebSockets, which the document cannot tell of; the table of rights holds for them like for the others.
#[tokio::test]
async fn consoles_and_programs_need_the_scope_of_the_table() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    cloud.call(Method::POST, "/v1/vms", Some(wish("web"))).await;
    let exec = json!({ "command": ["true"] });
    let mut tokens = Vec::new();
    for scope in ["vm:use", "vm:read", "vm:write", "admin"] {
        let wish = json!({ "name": scope, "scopes": [scope] });
        let made = cloud.call(Method::POST, "/v1/users/me/tokens", Some(wish)).await;
        tokens.push((scope, made.body["secret"].as_str().unwrap().to_owned()));
    }
    let user = &tokens[0].1;
    let made = cloud
        .call_as(Some(user), Method::POST, "/v1/vms/web/exec", Some(exec))
        .await;
    let attach = made.body["path"].as_str().unwrap().to_owned();
    for path in ["/v1/vms/web/console", &attach] {
        for (scope, token) in &tokens {
            let answer = cloud.call_as(Some(token), Method::GET, path, None).await;
            match *scope {
                // The request is no WebSocket's, which is asked when it may be one.
                "vm:use" => assert_problem(&answer, 426, "upgrade_required"),
                _ => {
                    assert_problem(&answer, 403, "insufficient_scope");
                    let detail = answer.body["detail"].as_str().unwrap();
                    assert!(detail.contains("vm:use"), "{path}: {detail}");
                }
            }
        }
        let stranger = cloud.call_as(None, Method::GET, path, None).await;
        assert_problem(&stranger, 401, "unauthenticated");
    }
    let bob = cloud.member("bob").await;
    for path in [
        "/v1/vms/web.admin/console",
        &attach.replace("/web/", "/web.admin/"),
    ] {
        let foreign = cloud.call_as(Some(&bob), Method::GET, path, None).await;
        assert_problem(&foreign, 404, "not_found");
    }
}
