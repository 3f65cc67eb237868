//! Requests with an `Idempotency-Key`.

use std::path::Path;
use std::process::{Command, ExitStatus, Output};

use http::{Method, StatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::cloud::{Answer, Cloud};
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

/// What the process of [`a_kill_between_commit_and_answer_does_it_once`] is told: where its database lies, and whether it
/// is killed.
const STATE: &str = "PITWALL_TEST_ONCE_STATE";
const DIES: &str = "PITWALL_TEST_ONCE_DIES";

/// A real process is killed when it has committed and has not yet answered, a hundred times, each time with a database of
/// its own; the next process gets the same request and answers it.
#[tokio::test]
async fn a_kill_between_commit_and_answer_does_it_once() {
    if let Some(state) = std::env::var_os(STATE) {
        return serve_one(Path::new(&state)).await;
    }
    for round in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let killed = process(folder.path(), true);
        assert!(was_killed(killed.status), "round {round}: {killed:?}");
        let answered = process(folder.path(), false);
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

#[expect(clippy::panic, reason = "a test that cannot go on fails")]
fn panic_with(output: &Output) -> ! {
    panic!("{output:?}")
}

fn process(state: &Path, dies: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "once::a_kill_between_commit_and_answer_does_it_once",
            "--exact",
            "--nocapture",
        ])
        .env(STATE, state);
    if dies {
        command.env(DIES, "1");
    }
    command.output().unwrap()
}

fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGKILL as i32)
}

#[expect(clippy::print_stdout, reason = "it is how this process answers")]
async fn serve_one(state: &Path) {
    let mut cloud = Cloud::open_in(state).await;
    cloud.host_reports(&[]).await;
    let answer = cloud.post("/v1/vms", "k", &wish("web")).await;
    if std::env::var_os(DIES).is_some() {
        // The answer is made, and nobody hears of it.
        kill(Pid::this(), Signal::SIGKILL).unwrap();
    }
    let listed = cloud.call(Method::GET, "/v1/vms", None).await.body;
    let told = json!({
        "status": answer.status.as_u16(),
        "replayed": is_replayed(&answer),
        "vms": listed["items"].as_array().map(Vec::len),
    });
    println!("\nanswer {told}");
}
