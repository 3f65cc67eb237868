//! The API as any client sees it: `curl`, with headers and bodies as they are given.
//!
//! All of a request goes to `curl` on standard input, so that nothing of it stands in its arguments.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::env::{Host, text};
use crate::person::SERVER;

/// A request, word for word.
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<String>,
    body: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same from whoever holds this token.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(&body.to_string())
            .header("Content-Type", "application/json")
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// The words for `curl --config`.
    fn words(&self, server: &str, options: &[(&str, &str)]) -> String {
        let url = format!("{server}{}", self.path);
        let mut words = vec![("url", url.as_str()), ("request", self.method)];
        words.extend(options);
        words.extend(self.headers.iter().map(|header| ("header", header.as_str())));
        words.extend(self.body.iter().map(|body| ("data-raw", body.as_str())));
        let line = |(name, value): &(&str, &str)| format!("{name} = \"{}\"\n", escaped(value));
        words.iter().map(line).collect()
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line, headers and body.
    pub(crate) whole: String,
}

impl Answer {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        let body = self.whole.rsplit_once("\r\n\r\n").map(|(_, body)| body);
        let body = body.unwrap_or_else(|| panic!("no body: {}", self.whole));
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", self.whole))
    }
}

impl Host {
    /// The admin's token.
    pub(crate) fn admin_token(&self) -> String {
        let token = std::fs::read_to_string(self.state().join("admin.token")).unwrap();
        token.trim().to_owned()
    }

    /// Sends a request, whatever comes of it.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.send_to(SERVER, &[], request)
    }

    /// The same to a server by another address, with options of curl's.
    pub(crate) fn send_to(&self, server: &str, options: &[(&str, &str)], request: &Request) -> Answer {
        let mut curl = self.command("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "60"])
            .args(["--write-out", "%{stderr}%{http_code}", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = curl.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(request.words(server, options).as_bytes())
            .unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        Answer {
            status: String::from_utf8_lossy(&output.stderr).parse().unwrap(),
            whole: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// Sends a request as the admin that must be answered well.
    pub(crate) fn ask(&self, method: &'static str, path: &str, body: &Value) -> Value {
        let answer = self.send(&Request::new(method, path).token(&self.admin_token()).json(body));
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {}",
            answer.whole
        );
        answer.json()
    }
}
