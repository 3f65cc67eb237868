//! Servers that a person knows: config, login, logout, and which token goes where.

mod accounts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cloud::{Cloud, Ended};
use crate::streams::terminal::Terminal;

/// A server that takes the code `C0DE` and every token but `pwt_wrong`, and writes down who asked for what. It never shows a
/// secret but to who signs in, as one does that answers again.
struct Fake {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    let count = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..count]);
                    if count == 0 {
                        break;
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let answer = answer(&request);
                log.lock().unwrap().push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, heard }
    }

    fn heard(&self, what: &str) -> bool {
        self.heard
            .lock()
            .unwrap()
            .iter()
            .any(|request| request.contains(what))
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

fn answer(request: &str) -> String {
    const TOKEN: &str = r#"{"id":"tok_00000000000000000000000000","name":"n","scopes":[],"created_at":"2026-11-22T09:00:00Z",
        "expires_at":null,"last_used_at":null,"secret":"pwt_new"}"#;
    const ME: &str = r#"{"user":{"id":"user_00000000000000000000000000","name":"ann","role":"member","disabled":false,
        "created_at":"2026-11-22T09:00:00Z","secret":null},"teams":[],
        "token":{"id":"tok_00000000000000000000000000","scopes":[],"expires_at":null}}"#;
    const REFUSED: &str = r#"{"type":"/v1/problems/unauthenticated","title":"t","status":401,"detail":"no",
        "code":"unauthenticated","request_id":"r"}"#;
    const SMALL: &str = r#"{"type":"/v1/problems/insufficient_scope","title":"t","status":403,"detail":"too small",
        "code":"insufficient_scope","request_id":"r"}"#;
    const ENDED: &str = r#"{"type":"/v1/problems/token_expired","title":"t","status":401,"detail":"ended",
        "code":"token_expired","request_id":"r"}"#;
    const LOST: &str = r#"{"id":"tok_00000000000000000000000000","name":"n","scopes":[],"created_at":"2026-11-22T09:00:00Z",
        "expires_at":null,"last_used_at":null,"secret":null}"#;
    const ANN: &str = r#"{"id":"user_00000000000000000000000000","name":"ann","role":"member","disabled":false,
        "created_at":"2026-11-22T09:00:00Z","secret":null}"#;
    let is_signed_in = request.contains("Bearer pwt_") && !request.contains("Bearer pwt_wrong");
    let is = |beginning: &str| request.starts_with(beginning);
    let (status, body) = match () {
        () if is("POST /v1/login ") && request.contains("\"code\":\"C0DE\"") => ("201 Created", TOKEN),
        () if is("GET /v1/me ") && is_signed_in => ("200 OK", ME),
        () if is("GET /v1/vms?") && is_signed_in => ("200 OK", r#"{"items":[],"next":null}"#),
        () if is("DELETE /v1/me/token ") && request.contains("Bearer pwt_small") => ("403 Forbidden", SMALL),
        () if is("DELETE /v1/me/token ") && request.contains("Bearer pwt_ended") => {
            ("401 Unauthorized", ENDED)
        }
        () if is("DELETE /v1/me/token ") && is_signed_in => ("204 No Content", ""),
        () if is("POST /v1/users ") || is("POST /v1/users/ann/code ") => ("201 Created", ANN),
        () if is("POST /v1/users/me/tokens ") => ("201 Created", LOST),
        () => ("401 Unauthorized", REFUSED),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn with_input(cloud: &Cloud, words: &[&str], input: &str) -> Ended {
    let mut command = cloud.command(words);
    command.env_remove("PITWALL_URL").stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .await
        .unwrap();
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_and_is_kept_where_nobody_else_reads() {
    let cloud = Cloud::open().await;
    let fake = Fake::open().await;
    let wrong = with_input(&cloud, &["login", &fake.url, "--with-token"], "pwt_wrong\n").await;
    assert_eq!(wrong.code, Some(4), "{wrong:?}");
    let file = cloud.folder.path().join(".config/pitwall/config.toml");
    assert!(!file.exists(), "what does not work is not kept");

    let words = ["login", &fake.url, "--with-token", "--context", "work"];
    let signed_in = with_input(&cloud, &words, "pwt_new\n").await;
    assert_eq!(
        signed_in.out,
        format!("signed in to {} as ann; it is the context work\n", fake.url),
        "{signed_in:?}"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let list = with_input(&cloud, &["config", "list", "-o", "json"], "")
        .await
        .out;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (
            &list["items"][1]["name"],
            &list["items"][1]["current"],
            &list["items"][1]["signed_in"]
        ),
        (&"work".into(), &true.into(), &true.into())
    );
    assert!(!list.to_string().contains("pwt_new"));
    assert_eq!(with_input(&cloud, &["ls", "-q"], "").await.code, Some(0));

    let elsewhere = with_input(
        &cloud,
        &["ls", "--url", "http://[::1]:1", "--state", "/nonexistent"],
        "",
    )
    .await;
    assert_eq!(
        elsewhere.code,
        Some(4),
        "no other server gets the token: {elsewhere:?}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = with_input(&cloud, &["ls"], "").await;
    assert!(
        open.code == Some(1) && open.err.contains("next: close it with: chmod 600"),
        "{open:?}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let signed_out = with_input(&cloud, &["logout"], "").await;
    assert_eq!(signed_out.code, Some(0), "{signed_out:?}");
    assert!(fake.heard("DELETE /v1/me/token"));
    assert!(!fs::read_to_string(&file).unwrap().contains("pwt_new"));
    let nobody = with_input(&cloud, &["ls"], "").await;
    assert_eq!(
        (nobody.code, nobody.err),
        (
            Some(4),
            format!(
                "pwctl: nobody is signed in to {0}\n  next: sign in with: pwctl login {0}\n",
                fake.url
            )
        )
    );
    assert_eq!(
        with_input(&cloud, &["config", "rm", "work"], "").await.code,
        Some(0)
    );
    assert_eq!(
        with_input(&cloud, &["config", "use", "work"], "").await.code,
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_asked_for_unseen_and_exchanged() {
    let cloud = Cloud::open().await;
    let fake = Fake::open().await;
    let mut terminal = Terminal::start_owned(&cloud, &["login", &fake.url]);
    terminal.until(&format!("Code or token for {}: ", fake.url));
    terminal.press("C0DE\r");
    terminal.until("signed in to");
    assert_eq!(terminal.ended().await, Some(0));
    assert!(!terminal.seen.contains("C0DE"), "{:?}", terminal.seen);
    assert!(fake.heard("\"name\":\"pwctl on "));

    let mut terminal = Terminal::start_owned(&cloud, &["login", &fake.url]);
    terminal.until("Code or token");
    assert!(!terminal.echoes());
    terminal.press("\x03");
    assert_eq!(terminal.ended().await, Some(130));
    assert!(terminal.echoes(), "the terminal is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_is_asked_and_in_the_clear_nothing_is_sent() {
    let cloud = Cloud::open().await;
    let words = ["login", "http://127.0.0.1:1"];
    let mut command = tokio::process::Command::new("/usr/bin/setsid");
    command.args(["-w", env!("CARGO_BIN_EXE_pwctl")]).args(words);
    command.env("HOME", cloud.folder.path()).stdin(Stdio::null());
    let ended: Ended = command.output().await.unwrap().into();
    assert!(
        ended.code == Some(2) && ended.err.contains("--with-token"),
        "{ended:?}"
    );

    // Nobody is asked for what could not be sent.
    let mut terminal = Terminal::start_owned(&cloud, &["login", "http://pitwall.invalid"]);
    terminal.until("--insecure-http");
    assert_eq!(terminal.ended().await, Some(2));
    assert!(!terminal.seen.contains("Code or token"), "{:?}", terminal.seen);

    let words = ["login", "http://pitwall.invalid", "--with-token"];
    let refused = with_input(&cloud, &words, "pwt_new").await;
    assert!(
        refused.code == Some(2) && refused.err.contains("--insecure-http"),
        "{refused:?}"
    );
    let meant = with_input(&cloud, &[&words[..], &["--insecure-http"]].concat(), "pwt_new").await;
    assert_eq!(meant.code, Some(8), "it was tried: {meant:?}");
}

/// Signs in with a token and out again.
async fn out_of(cloud: &Cloud, fake: &Fake, token: &str) -> Ended {
    let signed_in = with_input(cloud, &["login", &fake.url, "--with-token"], token).await;
    assert_eq!(signed_in.code, Some(0), "{signed_in:?}");
    with_input(cloud, &["logout"], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_out_is_who_has_no_valid_token_left() {
    let cloud = Cloud::open().await;
    let fake = Fake::open().await;
    assert_eq!(out_of(&cloud, &fake, "pwt_ended").await.code, Some(0));
    let left = out_of(&cloud, &fake, "pwt_small").await;
    assert!(
        left.code == Some(4) && left.out.is_empty() && left.err.contains("goes on being valid"),
        "{left:?}"
    );
    assert!(left.err.contains("because: too small"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_lost_is_no_empty_line() {
    let cloud = Cloud::open().await;
    let fake = Fake::open().await;
    with_input(&cloud, &["login", &fake.url, "--with-token"], "pwt_new").await;
    for (words, next) in [
        (
            &["user", "create", "ann"][..],
            "make another: pwctl user code ann",
        ),
        (&["user", "code", "ann"], "make another: pwctl user code ann"),
        (
            &["token", "create", "n"],
            "pwctl token rm tok_00000000000000000000000000",
        ),
    ] {
        let lost = with_input(&cloud, words, "").await;
        assert!(
            lost.code == Some(1) && lost.out.is_empty() && lost.err.contains(next),
            "{words:?}: {lost:?}"
        );
    }
}
