//! A client of Firecracker's API: HTTP/1.1 over a UNIX socket, one request at a time, nothing else.
//!
//! What answers is a process that a guest may have taken over, so an answer is bounded in length and in time, and
//! believed in nothing but whether it is well.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::requests::Request;
use crate::ApiError;

/// For one answer. Starting the instance includes reading the kernel and the initramfs.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// For a line of the head, and for the body, bytes.
const LINE_LIMIT: u64 = 4096;
const BODY_LIMIT: usize = 64 * 1024;
const HEADERS_LIMIT: usize = 32;

/// A connection.
pub(super) struct Api {
    stream: BufReader<UnixStream>,
}

/// What an instance says of itself; the rest of the answer is of no interest.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    /// `Not started`, `Running` or `Paused`.
    pub(super) state: String,
}

/// What a refusal says.
#[derive(Debug, Deserialize)]
struct Fault {
    fault_message: String,
}

impl Api {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Asks for something to be so.
    pub(super) async fn put(&mut self, request: &Request) -> Result<(), ApiError> {
        let body = request.body.to_string();
        self.ask("PUT", &request.path, &body).await.map(drop)
    }

    /// How the instance is.
    pub(super) async fn instance(&mut self) -> Result<Instance, ApiError> {
        let body = self.ask("GET", "/", "").await?;
        serde_json::from_slice(&body).map_err(|_| ApiError::Garbled(lossy(&body)))
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, ApiError> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answered = async {
            self.stream.get_mut().write_all(request.as_bytes()).await?;
            self.answer().await
        };
        let (status, body) = tokio::time::timeout(ANSWER_LIMIT, answered)
            .await
            .map_err(|_| ApiError::TooSlow(ANSWER_LIMIT))??;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let said =
            serde_json::from_slice(&body).map_or_else(|_| lossy(&body), |fault: Fault| fault.fault_message);
        Err(ApiError::Refused {
            path: path.to_owned(),
            said,
        })
    }

    async fn answer(&mut self) -> Result<(u16, Vec<u8>), ApiError> {
        let first = self.line().await?;
        let status = status(&first).ok_or(ApiError::Garbled(first))?;
        let mut length = 0;
        for _ in 0..HEADERS_LIMIT {
            let line = self.line().await?;
            if line.is_empty() {
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).await?;
                return Ok((status, body));
            }
            if let Some(found) = content_length(&line) {
                length = found
                    .filter(|length| *length <= BODY_LIMIT)
                    .ok_or(ApiError::Garbled(line))?;
            }
        }
        Err(ApiError::Garbled("a head without an end".to_owned()))
    }

    async fn line(&mut self) -> Result<String, ApiError> {
        let mut line = Vec::new();
        (&mut self.stream)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
            .await?;
        match line.strip_suffix(b"\n") {
            Some(text) => Ok(lossy(text.strip_suffix(b"\r").unwrap_or(text))),
            None if line.is_empty() => Err(ApiError::HungUp),
            None => Err(ApiError::Garbled(lossy(&line))),
        }
    }
}

/// The number of a status line (RFC 9112 section 4).
fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The length, if the line tells one; none in it if that is no number.
fn content_length(line: &str) -> Option<Option<usize>> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("content-length")
        .then(|| value.trim().parse().ok())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A server that hears one request and answers so.
    async fn answered(answer: &'static str) -> (Result<(), ApiError>, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let request = Request {
            path: "/vsock".into(),
            body: json!({ "guest_cid": 3 }),
        };
        let server = tokio::spawn(async move {
            let mut heard = vec![0; 4096];
            let count = theirs.read(&mut heard).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            lossy(&heard[..count])
        });
        let result = Api::new(ours).put(&request).await;
        (result, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_is_whole_and_its_answer_read_to_the_end() {
        let (result, heard) = answered("HTTP/1.1 204 \r\nServer: Firecracker API\r\n\r\n").await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(
            heard,
            "PUT /vsock HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n\
             {\"guest_cid\":3}"
        );
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_firecrackers_words() {
        let (result, _) =
            answered("HTTP/1.1 400 \r\ncontent-length: 34\r\n\r\n{\"fault_message\":\"Address in use\"}")
                .await;
        let error = result.unwrap_err();
        assert!(
            matches!(&error, ApiError::Refused { said, .. } if said == "Address in use"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_and_takes_no_memory() {
        for answer in [
            "HTTP/1.1 200 \r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: many\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200",
        ] {
            let (result, _) = answered(answer).await;
            assert!(
                matches!(result, Err(ApiError::Garbled(_))),
                "{answer}: {result:?}"
            );
        }
        let (result, _) = answered("").await;
        assert!(matches!(result, Err(ApiError::HungUp)), "{result:?}");
        let (result, _) = answered("HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n{}").await;
        assert!(matches!(result, Err(ApiError::Io(_))), "{result:?}");
    }
}
