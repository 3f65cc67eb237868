//! The log of a VM's service: `/v1/vms/{vm}/logs`, as lines of JSON.

use data_encoding::BASE64;
use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::endpoint::{Query, QueryKind};
use crate::{Access, Answer, Content, Endpoint, Shape};

/// An entry of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// What kind of entry: `line`, `gap` (something was lost here), `boot` (the VM booted here), `failed` (the log
    /// cannot be read any further; the last one); more may come.
    #[serde(rename = "type")]
    #[schema(example = "line")]
    pub kind: String,
    /// When, by the guest's clock, RFC 3339 in UTC. A line has the time of its begin.
    #[schema(format = "date-time", example = "2026-11-22T09:00:00.123456789Z")]
    pub at: String,
    /// Where a line was printed: `stdout` or `stderr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "stdout")]
    pub stream: Option<String>,
    /// A line without its newline, where it is UTF-8. One longer than 16 KiB is cut into several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "listening on port 80")]
    pub line: Option<String>,
    /// A line that is not UTF-8, in base64 (RFC 4648 section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line_base64: Option<String>,
    /// How much was lost in a gap, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lost_bytes: Option<u64>,
    /// The id of a boot, as the VM's kernel names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub boot_id: Option<String>,
    /// Why the log ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

impl LogRecord {
    /// A line with what it was printed as.
    #[must_use]
    pub fn with_line(mut self, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(line) => self.line = Some(line),
            Err(error) => self.line_base64 = Some(BASE64.encode(error.as_bytes())),
        }
        self
    }

    /// The bytes of a line; `None` where it is none, or is damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.line, &self.line_base64) {
            (Some(line), _) => Some(line.as_bytes().to_vec()),
            (None, Some(encoded)) => BASE64.decode(encoded.as_bytes()).ok(),
            (None, None) => None,
        }
    }
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Whether to go on with what is printed from now on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// At most so many lines of what is there now.
    #[serde(
        default,
        deserialize_with = "crate::vms::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub tail: Option<u64>,
    /// Only what was printed at or after this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Reads a log.
pub const LOGS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/logs",
    operation_id: "vm_logs",
    summary: "Read what a VM's service printed, whether the VM runs or not",
    access: Access::Scope(Scope::VmRead),
    query: &[
        Query {
            name: "follow",
            description: "Go on with what is printed from now on, until the VM is removed; false where left out",
            kind: QueryKind::Flag,
            required: false,
        },
        Query {
            name: "tail",
            description: "At most so many lines of what is there now, the newest; all where left out",
            kind: QueryKind::Whole,
            required: false,
        },
        Query {
            name: "since",
            description: "Only what was printed at or after this time",
            kind: QueryKind::Time,
            required: false,
        },
    ],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The entries, oldest first, one a line",
        content: Content::Lines(Shape::of::<LogRecord>()),
    }],
    problems: &[
        ProblemCode::NotFound,
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidValue,
    ],
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&LOGS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_where_they_are_and_nothing_is_lost_where_they_are_not() {
        let text = LogRecord::default().with_line("grün".as_bytes().to_vec());
        assert_eq!((text.line.as_deref(), &text.line_base64), (Some("grün"), &None));
        let bytes = LogRecord::default().with_line(vec![0xff, 0, b'a']);
        assert_eq!((&bytes.line, bytes.line_base64.as_deref()), (&None, Some("/wBh")));
        for record in [text, bytes] {
            let sent = serde_json::to_string(&record).unwrap();
            let back: LogRecord = serde_json::from_str(&sent).unwrap();
            assert_eq!(back.bytes(), record.bytes());
            assert!(back.bytes().is_some());
        }
    }
}
