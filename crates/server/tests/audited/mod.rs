//! What requests leave in the audit.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::accounts::{login, person};
use crate::cloud::Cloud;
use crate::{assert_problem, wish};

impl Cloud {
    /// Operation, user's name, target and outcome of every entry that fits, oldest first.
    async fn audit(&self, query: &str) -> Vec<[Option<String>; 4]> {
        let path = format!("/v1/audit?limit=500&{query}");
        let listed = self.call(Method::GET, &path, None).await;
        assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
        let items = listed.body["items"].as_array().unwrap();
        let text = |entry: &Value, field: &str| entry[field].as_str().map(str::to_owned);
        let fields = ["operation", "user_name", "target", "outcome"];
        let entry = |entry: &Value| fields.map(|field| text(entry, field));
        items.iter().rev().map(entry).collect()
    }
}

fn entry(operation: &str, user: Option<&str>, target: Option<&str>, outcome: &str) -> [Option<String>; 4] {
    [Some(operation), user, target, Some(outcome)].map(|text| text.map(str::to_owned))
}

#[tokio::test]
async fn refusals_are_written_and_reads_are_not() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let ann = person(&cloud, "ann").await;
    let before = cloud.audit("").await.len();
    for path in ["/v1/vms", "/v1/vms/web", "/v1/me", "/v1/audit", "/v1/vms?limit=0"] {
        cloud.call_as(Some(&ann), Method::GET, path, None).await;
    }
    assert_eq!(cloud.audit("").await.len(), before, "reads leave nothing");
    let refused = [
        (Method::DELETE, "/v1/vms/web", None),
        (Method::GET, "/v1/hosts", None),
        (Method::POST, "/v1/vms", Some(json!({ "name": "web" }))),
        (
            Method::POST,
            "/v1/vms",
            Some(json!({ "name": "Web", "image": "debian:12" })),
        ),
        // A secret where an id belongs.
        (
            Method::DELETE,
            "/v1/users/me/tokens/pwt_0000000000000000000000000000000000",
            None,
        ),
        (
            Method::DELETE,
            "/v1/vms/pwt_0000000000000000000000000000000000",
            None,
        ),
    ];
    for (method, path, body) in refused {
        let answer = cloud.call_as(Some(&ann), method, path, body).await;
        assert!(answer.status.is_client_error(), "{path}: {answer:?}");
        let repeats = answer.body.to_string().contains("pwt_0000");
        assert!(!repeats || !path.contains("/tokens/"), "{answer:?}");
    }
    let ann = Some("ann");
    assert_eq!(
        cloud.audit("").await[before..],
        [
            entry("vm_delete", ann, Some("web"), "not_found"),
            entry("host_list", ann, None, "admin_only"),
            entry("vm_create", ann, None, "invalid_value"),
            entry("token_delete", ann, Some("me"), "not_found"),
            entry("vm_delete", ann, None, "not_found"),
        ],
        "what was not understood at all is no refusal"
    );
}

#[tokio::test]
async fn a_disabled_user_and_an_expired_token_leave_their_refusals() {
    let cloud = Cloud::open().await;
    let ann = person(&cloud, "ann").await;
    let short = json!({ "name": "short", "expires_in_seconds": 1 });
    let made = cloud
        .call_as(Some(&ann), Method::POST, "/v1/users/me/tokens", Some(short))
        .await;
    let short = made.body["secret"].as_str().unwrap();
    let expired = async {
        loop {
            let answer = cloud
                .call_as(Some(short), Method::DELETE, "/v1/vms/web", None)
                .await;
            if answer.body["code"] == "token_expired" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::cloud::LIMIT, expired).await.unwrap();
    assert_eq!(
        cloud.audit("outcome=token_expired").await,
        [entry("vm_delete", Some("ann"), Some("web"), "token_expired")]
    );
    let disabled = cloud.call(Method::POST, "/v1/users/ann/disable", None).await;
    assert_eq!(disabled.status, StatusCode::OK, "{disabled:?}");
    let refused = cloud.call_as(Some(&ann), Method::GET, "/v1/vms", None).await;
    assert_problem(&refused, 403, "user_disabled");
    assert_eq!(
        cloud.audit("outcome=user_disabled").await,
        [entry("vm_list", Some("ann"), None, "user_disabled")]
    );
}

#[tokio::test]
async fn signing_in_is_written_however_it_ends() {
    let cloud = Cloud::open().await;
    let created = cloud
        .call(Method::POST, "/v1/users", Some(json!({ "name": "ann" })))
        .await;
    let code = created.body["secret"].as_str().unwrap();
    for (code, status) in [
        ("AAAA-AAAA-AAAA-AAAA", StatusCode::UNAUTHORIZED),
        (code, StatusCode::CREATED),
    ] {
        assert_eq!(login(&cloud, code).await.status, status);
    }
    assert_eq!(
        cloud.audit("operation=login").await,
        [
            entry("login", None, None, "unauthenticated"),
            entry("login", Some("ann"), None, "ok"),
        ]
    );
}

#[tokio::test]
async fn a_change_is_written_with_its_target_and_the_id_of_its_request() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let request = cloud
        .request(Some(&cloud.token), Method::POST, "/v1/vms")
        .header("content-type", "application/json")
        .header("x-request-id", "abc-1");
    let created = cloud.send(request, wish("web").to_string().into_bytes()).await;
    let listed = cloud
        .call(Method::GET, "/v1/audit?operation=vm_create", None)
        .await;
    let [entry] = &listed.body["items"].as_array().unwrap()[..] else {
        panic!("one entry: {listed:?}")
    };
    assert_eq!(entry["request_id"], "abc-1");
    assert_eq!(entry["target"], created.body["id"]);
}
