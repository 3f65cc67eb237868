//! Requests that are done once, however often they are sent.
//!
//! A connection that is lost tells nothing of whether the request was heard. With an `Idempotency-Key` it may simply be
//! sent again: the server does it once and answers the same.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{IDEMPOTENCY_KEY, WaitQuery, Waited, wait};

/// The first wait before a request is sent again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How often it is sent again: about 6 s in all, a restart of the server.
const ATTEMPTS: u32 = 5;

impl Client {
    /// Sends a request with a key of its own, again where its connection was lost.
    pub(super) async fn answer_once<A: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<A, ClientError> {
        let request = request.header(IDEMPOTENCY_KEY, new_key());
        for attempt in 0..ATTEMPTS {
            // Only a body that is a stream cannot be sent twice.
            let Some(copy) = request.try_clone() else {
                break;
            };
            match self.answer(copy).await {
                // A person who mistyped an address should not wait: what never was a connection was not lost.
                Err(ClientError::Unreachable { source, .. }) if attempt > 0 || !source.is_connect() => {
                    tokio::time::sleep(FIRST_WAIT * 2_u32.pow(attempt)).await;
                }
                answer => return answer,
            }
        }
        self.answer(request).await
    }

    /// Waits for a VM. Fails as [`ClientError`] says.
    pub async fn vm_wait(&self, vm: &str, query: &WaitQuery) -> Result<Waited, ClientError> {
        let patience = Duration::from_secs(query.timeout.unwrap_or(wait::MAX_TIMEOUT_SECONDS));
        let request = self.request(&wait::WAIT, &[vm])?.query(query);
        self.answer_within(request, REQUEST_LIMIT + patience).await
    }
}

/// Told apart, not kept secret: the standard library's hash keys are random enough for that.
fn new_key() -> String {
    let word = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", word(), word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_another() {
        let keys: std::collections::BTreeSet<_> = (0..1000).map(|_| new_key()).collect();
        assert_eq!(keys.len(), 1000);
        assert!(keys.iter().all(|key| key.len() == 32));
    }
}
