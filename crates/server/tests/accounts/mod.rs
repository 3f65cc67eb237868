//! Users, their keys and tokens, and signing in, through the real router.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Answer, Cloud, KEY};

const ANNS: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw ann@laptop";
const FINGERPRINT: &str = "SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY";

fn told(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    let body = &answer.body;
    (
        answer.status.as_u16(),
        body["code"].as_str(),
        body["pointer"].as_str(),
    )
}

pub(crate) async fn login(cloud: &Cloud, code: &str) -> Answer {
    let wish = json!({ "code": code, "name": "a test" });
    cloud.call_as(None, Method::POST, "/v1/login", Some(wish)).await
}

/// A new user's token.
pub(crate) async fn person(cloud: &Cloud, name: &str) -> String {
    let created = cloud
        .call(Method::POST, "/v1/users", Some(json!({ "name": name })))
        .await;
    let signed_in = login(cloud, created.body["secret"].as_str().unwrap()).await;
    signed_in.body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_is_made_signs_in_once_and_out() {
    let cloud = Cloud::open().await;
    let wish = json!({ "name": "ann", "role": "member" });
    let created = cloud.call(Method::POST, "/v1/users", Some(wish)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let location = created.header("location").unwrap();
    let shown = cloud.call(Method::GET, location, None).await.body;
    assert_eq!((&shown["name"], &shown["secret"]), (&json!("ann"), &Value::Null));

    let code = created.body["secret"].as_str().unwrap();
    let signed_in = login(&cloud, code).await;
    assert_eq!(signed_in.status, StatusCode::CREATED, "{signed_in:?}");
    let token = signed_in.body["secret"].as_str().unwrap();
    assert!(token.starts_with("pwt_"));
    let again = login(&cloud, code).await;
    assert_eq!(told(&again), (401, Some("unauthenticated"), None));
    assert_eq!(
        login(&cloud, "AAAA-AAAA-AAAA-AAAA").await.body["detail"],
        again.body["detail"]
    );

    let me = cloud.call_as(Some(token), Method::GET, "/v1/me", None).await.body;
    assert_eq!(
        (&me["user"]["id"], &me["user"]["role"]),
        (&shown["id"], &json!("member"))
    );
    assert_eq!(me["token"]["id"], signed_in.body["id"]);
    assert!(
        !me["token"]["scopes"]
            .as_array()
            .unwrap()
            .contains(&json!("admin"))
    );
    let out = cloud
        .call_as(Some(token), Method::DELETE, "/v1/me/token", None)
        .await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let gone = cloud.call_as(Some(token), Method::GET, "/v1/me", None).await;
    assert_eq!(told(&gone), (401, Some("unauthenticated"), None));
}

#[tokio::test]
async fn keys_are_known_by_their_fingerprints() {
    let cloud = Cloud::open().await;
    let token = person(&cloud, "ann").await;
    let call = async |method: Method, path: &str, body: Option<Value>| {
        cloud.call_as(Some(&token), method, path, body).await
    };
    let added = call(Method::POST, "/v1/users/me/keys", Some(json!({ "key": ANNS }))).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert_eq!(
        (
            &added.body["fingerprint"],
            &added.body["type"],
            &added.body["comment"]
        ),
        (&json!(FINGERPRINT), &json!("ssh-ed25519"), &json!("ann@laptop"))
    );
    let path = added.header("location").unwrap();
    assert_eq!(call(Method::GET, path, None).await.body, added.body);
    let listed = call(Method::GET, "/v1/users/ann/keys", None).await.body;
    assert_eq!(listed, json!({ "items": [added.body], "next": null }));
    for (line, why) in [
        (
            format!("no-pty {ANNS}"),
            "the option no-pty stands before the key",
        ),
        (
            "ssh-dss AAAAB3NzaC1kc3MAAACBAJ".to_owned(),
            "this is not an OpenSSH public key",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
            "this is a private key",
        ),
    ] {
        let refused = call(Method::POST, "/v1/users/me/keys", Some(json!({ "key": line }))).await;
        assert_eq!(told(&refused), (422, Some("invalid_value"), Some("/key")));
        assert!(
            refused.body["detail"].as_str().unwrap().contains(why),
            "{refused:?}"
        );
    }
    assert_eq!(
        call(Method::DELETE, path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        told(&call(Method::DELETE, path, None).await),
        (404, Some("not_found"), None)
    );
    let stranger = person(&cloud, "bob").await;
    let foreign = cloud
        .call_as(Some(&stranger), Method::GET, "/v1/users/ann/keys", None)
        .await;
    assert_eq!(told(&foreign), (404, Some("not_found"), None));
}

#[tokio::test]
async fn a_token_is_shown_once_and_makes_none_beyond_itself() {
    let cloud = Cloud::open().await;
    let token = person(&cloud, "ann").await;
    let make = async |token: &str, wish: Value| {
        cloud
            .call_as(Some(token), Method::POST, "/v1/users/me/tokens", Some(wish))
            .await
    };
    let wish = json!({ "name": "small", "scopes": ["vm:read", "account:write"], "expires_in_seconds": 600 });
    let small = make(&token, wish).await;
    assert_eq!(small.status, StatusCode::CREATED, "{small:?}");
    let path = small.header("location").unwrap();
    let shown = cloud.call_as(Some(&token), Method::GET, path, None).await.body;
    assert_eq!(
        (&shown["name"], &shown["secret"]),
        (&json!("small"), &Value::Null)
    );
    let text = small.body["secret"].as_str().unwrap();
    for (wish, expected) in [
        (
            json!({ "name": "more", "scopes": ["vm:write"] }),
            (403, "insufficient_scope", "/scopes"),
        ),
        (
            json!({ "name": "longer", "expires_in_seconds": 6000 }),
            (422, "invalid_value", "/expires_in_seconds"),
        ),
        (
            json!({ "name": "no time", "expires_at": "soon" }),
            (422, "invalid_value", "/expires_at"),
        ),
        (
            json!({ "name": "no scope", "scopes": ["vm:read", "vm:own"] }),
            (422, "invalid_value", "/scopes/1"),
        ),
        (json!({ "name": "" }), (422, "invalid_value", "/name")),
    ] {
        let refused = make(text, wish).await;
        let (status, code, pointer) = expected;
        assert_eq!(told(&refused), (status, Some(code), Some(pointer)), "{refused:?}");
    }
    let read = cloud
        .call_as(Some(text), Method::GET, "/v1/users/me/tokens", None)
        .await;
    assert_eq!(told(&read), (403, Some("insufficient_scope"), None));
    assert_eq!(
        cloud
            .call_as(Some(&token), Method::DELETE, path, None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let revoked = make(text, json!({ "name": "late" })).await;
    assert_eq!(told(&revoked), (401, Some("unauthenticated"), None));
}

#[tokio::test]
async fn an_admin_keeps_users_out_and_removes_them() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let token = person(&cloud, "ann").await;
    let bare = json!({ "name": "web", "image": "debian:12" });
    let refused = cloud
        .call_as(Some(&token), Method::POST, "/v1/vms", Some(bare))
        .await;
    assert_eq!(told(&refused), (422, Some("no_ssh_key"), Some("/keys")));
    let wish = json!({ "name": "web", "image": "debian:12", "keys": [KEY] });
    let created = cloud
        .call_as(Some(&token), Method::POST, "/v1/vms", Some(wish))
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");

    let disabled = cloud.call(Method::POST, "/v1/users/ann/disable", None).await;
    assert_eq!(
        (disabled.status, &disabled.body["disabled"]),
        (StatusCode::OK, &json!(true))
    );
    let out = cloud.call_as(Some(&token), Method::GET, "/v1/me", None).await;
    assert_eq!(told(&out), (403, Some("user_disabled"), None));
    let start = cloud.call(Method::POST, "/v1/vms/web.ann/start", None).await;
    assert_eq!(told(&start), (409, Some("wrong_status"), None));
    let enabled = cloud.call(Method::POST, "/v1/users/ann/enable", None).await;
    assert_eq!(enabled.body["disabled"], false);
    let promoted = cloud
        .call(Method::PATCH, "/v1/users/ann", Some(json!({ "role": "admin" })))
        .await;
    assert_eq!(promoted.body["role"], "admin");

    let kept = cloud.call(Method::DELETE, "/v1/users/ann", None).await;
    assert_eq!(told(&kept), (409, Some("owns_vms"), None));
    let removed = cloud
        .call(Method::DELETE, "/v1/users/ann?transfer_to=admin", None)
        .await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    let web = cloud.call(Method::GET, "/v1/vms/web.admin", None).await;
    assert_eq!(web.body["id"], created.body["id"]);
    let last = cloud
        .call(Method::DELETE, "/v1/users/me?transfer_to=ann", None)
        .await;
    assert_eq!(told(&last), (409, Some("last_admin"), None));
}
