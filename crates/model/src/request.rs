//! Which request something was asked for with, so that the log of every part says so in the same words.

use std::fmt;
use std::str::FromStr;

/// Text that is no request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid request id: use 1 to 64 characters of A-Z, a-z, 0-9, ., _ and -")]
pub struct RequestIdError(String);

/// The id of a request: the client's own, where a log can hold it, else one that was drawn. It tells requests apart and
/// proves nothing: two clients may give the same.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// An id from random bits.
    pub fn from_random(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        if is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RequestIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for RequestId {
    type Error = RequestIdError;

    fn try_from(text: String) -> Result<Self, RequestIdError> {
        if is_plain(&text) {
            Ok(Self(text))
        } else {
            Err(RequestIdError(text))
        }
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> String {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_can_hold_and_only_that() {
        for good in ["a", "a-1_b.C", &"x".repeat(64)] {
            assert_eq!(good.parse::<RequestId>().unwrap().as_str(), good);
        }
        for bad in ["", "two words", "semi;colon", "ü", "a\nb", &"x".repeat(65)] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
        let drawn = RequestId::from_random(10);
        assert_eq!(drawn.as_str().parse(), Ok(drawn.clone()));
    }
}
