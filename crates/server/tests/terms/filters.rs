//! What a list of VMs is narrowed by.

use http::Method;
use model::Phase;
use serde_json::json;

use crate::cloud::Cloud;
use crate::{assert_problem, wish};

impl Cloud {
    /// The names of those that a query leaves, in their order.
    async fn named(&self, query: &str) -> Vec<String> {
        let path = format!("/v1/vms?sort=name&{query}");
        let page = self.call(Method::GET, &path, None).await;
        let items = page.body["items"].as_array();
        assert!(items.is_some(), "{query}: {page:?}");
        let items = items.unwrap();
        items
            .iter()
            .map(|vm| vm["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn each_filter_leaves_what_fits() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let team = json!({ "name": "ops" });
    cloud.call(Method::POST, "/v1/teams", Some(team)).await;
    let mut ids = Vec::new();
    for (name, image, owner) in [
        ("db-1", "postgres:17", "admin"),
        ("web-1", "debian:12", "admin"),
        ("web-2", "docker.io/library/debian:12", "ops"),
    ] {
        let mut wish = wish(name);
        wish["image"] = image.into();
        wish["owner"] = owner.into();
        let created = cloud.call(Method::POST, "/v1/vms", Some(wish)).await.body;
        ids.push(created["id"].as_str().unwrap().to_owned());
    }
    cloud
        .host_reports(&[(&ids[0], Phase::Running, 1), (&ids[1], Phase::Failed, 1)])
        .await;
    let host = cloud.call(Method::GET, "/v1/hosts", None).await.body["items"][0]["id"].clone();
    let by_id = format!("host={}", host.as_str().unwrap());
    let all = ["db-1", "web-1", "web-2"].as_slice();
    for (query, left) in [
        ("", all),
        // However it is written, it is the same image.
        ("image=debian:12", &["web-1", "web-2"]),
        ("image=docker.io/library/debian:12", &["web-1", "web-2"]),
        ("image=debian:13", &[]),
        ("status=RUNNING", &["db-1"]),
        ("status=ERROR", &["web-1"]),
        ("status=INIT", &["web-2"]),
        ("owner=ops", &["web-2"]),
        ("owner=nobody", &[]),
        ("name=web", &["web-1", "web-2"]),
        ("name=eb", &[]),
        ("host=box1", all),
        (&by_id, all),
        ("host=box2", &[]),
        // All must fit.
        (
            "owner=admin&image=debian:12&status=ERROR&name=w&host=box1",
            &["web-1"],
        ),
        ("owner=ops&status=RUNNING", &[]),
    ] {
        assert_eq!(cloud.named(query).await, left, "{query}");
    }
}

#[tokio::test]
async fn a_filter_of_no_sense_is_refused_at_its_place() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    for (query, pointer) in [
        ("status=running", "/status"),
        ("image=A%20B", "/image"),
        ("owner=-", "/owner"),
        ("host=-", "/host"),
        ("name=W", "/name"),
        ("label=tier", "/label"),
    ] {
        let refused = cloud.call(Method::GET, &format!("/v1/vms?{query}"), None).await;
        assert_problem(&refused, 422, "invalid_value");
        assert_eq!(refused.body["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn only_admins_filter_by_host() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let ann = cloud.member("ann").await;
    for host in ["box1", "box2"] {
        let path = format!("/v1/vms?host={host}");
        let refused = cloud.call_as(Some(&ann), Method::GET, &path, None).await;
        assert_problem(&refused, 403, "admin_only");
    }
}
