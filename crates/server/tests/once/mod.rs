//! Requests with an `Idempotency-Key`.

use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use http::{Method, StatusCode};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::cloud::{Answer, Cloud, LIMIT};
use crate::{assert_problem, wish};

impl Cloud {
    async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self
            .request(Some(&self.token), Method::POST, path)
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        self.send(request, body.to_string().into_bytes()).await
    }
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn the_same_request_is_answered_the_same() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let first = cloud.post("/v1/vms", "k", &wish("web")).await;
    assert_eq!(
        (first.status, is_replayed(&first)),
        (StatusCode::CREATED, false),
        "{first:?}"
    );
    let again = cloud.post("/v1/vms", "k", &wish("web")).await;
    assert_eq!(
        (again.status, is_replayed(&again)),
        (StatusCode::CREATED, true),
        "{again:?}"
    );
    assert_eq!(again.body, first.body);
    for header in ["location", "etag", "content-type"] {
        assert!(first.header(header).is_some(), "{header}");
        assert_eq!(again.header(header), first.header(header));
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_problem(
        &cloud.post("/v1/vms", "k", &wish("db")).await,
        422,
        "idempotency_mismatch",
    );
    for bad in [" ", "two words", &"k".repeat(129)] {
        assert_problem(
            &cloud.post("/v1/vms", bad, &wish("db")).await,
            400,
            "invalid_request",
        );
    }
    let refused = cloud.post("/v1/vms", "other", &wish("web")).await;
    assert_problem(&refused, 409, "name_taken");
    let good = cloud.post("/v1/vms", "other", &wish("db")).await;
    assert_eq!(
        good.status,
        StatusCode::CREATED,
        "what was refused was not kept: {good:?}"
    );
    let listed = cloud.call(Method::GET, "/v1/vms", None).await.body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn twins_are_answered_by_one() {
    let mut cloud = Cloud::open().await;
    cloud.host_reports(&[]).await;
    let body = wish("web");
    let twins = (0..8).map(|_| cloud.post("/v1/vms", "k", &body));
    let answers = futures_util::future::join_all(twins).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED));
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    assert!(
        answers
            .windows(2)
            .all(|pair| pair[0].body["id"] == pair[1].body["id"])
    );
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::open_in(folder.path()).await;
    let body = json!({ "name": "a test" });
    let made = cloud.post("/v1/users/me/tokens", "k", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let secret = made.body["secret"].as_str().unwrap();
    let again = cloud.post("/v1/users/me/tokens", "k", &body).await;
    assert!(is_replayed(&again));
    assert_eq!(
        (&again.body["id"], &again.body["secret"]),
        (&made.body["id"], &Value::Null)
    );
    assert!(again.body["hint"].as_str().unwrap().contains("once"), "{again:?}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "the secret lies in the database");
    }
}

/// Where the process of [`a_kill_between_commit_and_answer_does_it_once`] has its database.
const STATE: &str = "PITWALL_TEST_ONCE_STATE";
/// Control's fault point behind the commit of what somebody asked for: it makes this file and goes no further.
const STOPS_COMMITTED: &str = "PITWALL_FAULT_STOPS_COMMITTED";

/// A real process is killed when it has committed and has no answer yet, a hundred times, each time with a database of its
/// own; the next process gets the same request and answers it.
#[tokio::test]
async fn a_kill_between_commit_and_answer_does_it_once() {
    if let Some(state) = std::env::var_os(STATE) {
        return serve_one(Path::new(&state)).await;
    }
    for round in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        kill_committed(folder.path()).await;
        let answered = process(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&answered.stdout);
        let line = said.lines().find_map(|line| line.split_once("answer "));
        let answer: Value = serde_json::from_str(line.unwrap_or_else(|| panic_with(&answered)).1).unwrap();
        assert_eq!(answer["status"], 201, "round {round}: {answer}");
        assert_eq!(
            answer["replayed"], true,
            "round {round}: the first process had committed"
        );
        assert_eq!(answer["vms"], 1, "round {round}");
    }
}

/// Starts a process with the request, and kills it where it has committed.
async fn kill_committed(state: &Path) {
    let committed = state.join("committed");
    let mut first = process(state)
        .env(STOPS_COMMITTED, &committed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reached = async {
        while !committed.exists() {
            assert_eq!(first.try_wait().unwrap(), None, "it ended before it was killed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(3 * LIMIT, reached).await;
    first.kill().unwrap();
    let ended = first.wait().unwrap();
    assert!(reached.is_ok(), "it never committed");
    assert!(was_killed(ended), "{ended:?}");
}

#[expect(clippy::panic, reason = "a test that cannot go on fails")]
fn panic_with(output: &Output) -> ! {
    panic!("{output:?}")
}

fn process(state: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "once::a_kill_between_commit_and_answer_does_it_once",
            "--exact",
            "--nocapture",
        ])
        .env(STATE, state);
    command
}

fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGKILL as i32)
}

#[expect(clippy::print_stdout, reason = "it is how this process answers")]
async fn serve_one(state: &Path) {
    let mut cloud = Cloud::open_in(state).await;
    cloud.host_reports(&[]).await;
    let answer = cloud.post("/v1/vms", "k", &wish("web")).await;
    let listed = cloud.call(Method::GET, "/v1/vms", None).await.body;
    let told = json!({
        "status": answer.status.as_u16(),
        "replayed": is_replayed(&answer),
        "vms": listed["items"].as_array().map(Vec::len),
    });
    println!("\nanswer {told}");
}
