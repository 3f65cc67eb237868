//! Logs, whole and followed.

use api::LogQuery;
use futures_util::StreamExt;

use crate::{LIMIT, problem, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_lines_of_json() {
    let running = start().await;
    let answer = running.raw("GET /v1/vms/web/logs HTTP/1.1").await;
    assert!(
        answer.contains("content-type: application/x-ndjson\r\n"),
        "{answer}"
    );
    for line in [
        "{\"type\":\"boot\",\"at\":\"2026-09-21T14:13:20.000000000Z\",\"boot_id\":\"b1\"}\n",
        "{\"type\":\"gap\",\"at\":\"2026-09-21T14:13:20.000000000Z\",\"lost_bytes\":17}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000001Z\",\"stream\":\"stdout\",\"line\":\"one\"}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000002Z\",\"stream\":\"stderr\",\"line\":\"two\"}\n",
        "{\"type\":\"line\",\"at\":\"2026-09-21T14:13:20.000000003Z\",\"stream\":\"stdout\",\"line_base64\":\"/zM=\"}\n",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
    let query = LogQuery {
        tail: Some(1),
        ..LogQuery::default()
    };
    let log: Vec<_> = running
        .client
        .vm_logs("web", &query)
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].as_ref().unwrap().bytes(), Some(vec![0xff, b'3']));
    let query = LogQuery {
        since: Some("2026-09-21T16:13:20.000000002+02:00".into()),
        ..LogQuery::default()
    };
    assert_eq!(
        running.client.vm_logs("web", &query).await.unwrap().count().await,
        2
    );
    for (query, part) in [
        ("tail=-1", "400"),
        ("follow=yes", "400"),
        ("until=x", "unknown field `until`"),
        ("since=yesterday", "422"),
    ] {
        let refused = running
            .raw(&format!("GET /v1/vms/web/logs?{query} HTTP/1.1"))
            .await;
        assert!(refused.contains(part), "{query}: {refused}");
    }
    let missing = running.client.vm_logs("nowhere", &LogQuery::default()).await;
    assert_eq!(problem(missing.err().unwrap()).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_until_it_fails() {
    let running = start().await;
    let query = LogQuery {
        follow: true,
        tail: Some(0),
        ..LogQuery::default()
    };
    let mut log = running.client.vm_logs("web", &query).await.unwrap();
    for text in ["four", "five"] {
        running.vm.prints.send(Some(text)).await.unwrap();
        let record = tokio::time::timeout(LIMIT, log.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(record.line.as_deref(), Some(text));
    }
    running.vm.prints.send(None).await.unwrap();
    let last = log.next().await.unwrap().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.message.as_deref()),
        ("failed", Some("the host went away"))
    );
}
