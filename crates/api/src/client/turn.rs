//! Heeding a server that says that it is asked too often.
//!
//! A request that is refused so has done nothing, so it is sent again when the server says, whatever it asks for.

use std::time::Duration;

use http::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::{Client, ClientError};

/// How long one request waits for its turn, all in all. Who has to wait longer is told instead.
const PATIENCE: Duration = Duration::from_secs(30);
/// A server that names no time to wait means this one.
const LEAST: Duration = Duration::from_millis(100);

impl Client {
    /// Sends, and turns an answer that is not good into the problem it carries.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let mut patience = PATIENCE;
        let mut request = request;
        loop {
            // Only a body that is a stream cannot be sent twice.
            let copy = request.try_clone();
            let response = request.send().await.map_err(|source| self.broken(source))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let wait = wanted_wait(&response);
            let refusal = self.refusal(response).await;
            match (wait, copy) {
                (Some(wait), Some(copy)) if wait <= patience && refusal.is_code("rate_limited") => {
                    tokio::time::sleep(wait).await;
                    patience -= wait;
                    request = copy;
                }
                _ => return Err(refusal),
            }
        }
    }
}

/// How long the server wants to be left alone (RFC 9110 section 10.2.3; ours says it in seconds).
fn wanted_wait(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(LEAST))
}
