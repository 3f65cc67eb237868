//! `/v1/vms/{vm}/logs`, as lines of JSON.

use std::io;

use api::{LINES_MEDIA_TYPE, LogQuery, LogRecord};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use control::stream::{Failure, Lane};
use control::{Control, LogEntry, LogReader, LogRequest, Operation};
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use model::Problem;

use crate::access::{while_allowed, while_open, withdrawn};
use crate::auth::Signed;
use crate::flows::Flows;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::relay::{no_longer_permitted, refused};
use crate::router::{Closing, closed};
use crate::vms::at;

/// Entries that are there at once travel together.
const TOGETHER: usize = 64;

pub(crate) async fn of_vm(
    State(control): State<Control>,
    State(closing): State<Closing>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<LogQuery>,
) -> Result<Response, Refusal> {
    let request = understood(&query)?;
    let vm = control.vm_meant(&caller, &vm.parse()?, Operation::VmLogs).await?;
    let log = control.vm_log(&caller, &vm.into(), request).await?;
    let open = flows.open(caller.user)?;
    let withdrawn = while_open(open, withdrawn(&control, &caller, vm, Operation::VmLogs));
    let body = match request.follow {
        true => Body::from_stream(until_closed(
            chunks(while_allowed(entries(log), withdrawn, taken_away)),
            closing,
        )),
        false => Body::from_stream(chunks(while_allowed(first_of(log).await?, withdrawn, taken_away))),
    };
    Ok(([(CONTENT_TYPE, LINES_MEDIA_TYPE)], body).into_response())
}

fn understood(query: &LogQuery) -> Result<LogRequest, Problem> {
    let since = query
        .since
        .as_deref()
        .map(|since| at("/since", since.parse::<Timestamp>()));
    let since = since.transpose()?;
    Ok(LogRequest {
        follow: query.follow,
        tail: query.tail,
        since_unix_ns: since.map(|since| u64::try_from(since.as_nanosecond()).unwrap_or(0)),
    })
}

/// A log that ends by itself begins before it is answered, so that one that cannot be read is a problem.
async fn first_of(mut log: LogReader) -> Result<impl Stream<Item = LogRecord>, Problem> {
    let first = log.next().await.map_err(refused)?;
    let rest = first.is_some().then(|| entries(log));
    let first = stream::iter(first.map(|record| entry(record.unix_ns, record.entry)));
    Ok(first.chain(stream::iter(rest).flatten()))
}

/// The entries of a log; a failure is told by the last one.
fn entries(log: LogReader) -> impl Stream<Item = LogRecord> {
    stream::unfold(Some(log), |log| async {
        let mut log = log?;
        match log.next().await {
            Ok(Some(record)) => Some((entry(record.unix_ns, record.entry), Some(log))),
            Ok(None) => None,
            Err(failure) => Some((failed(failure), None)),
        }
    })
}

fn chunks(entries: impl Stream<Item = LogRecord>) -> impl Stream<Item = io::Result<Bytes>> {
    entries.ready_chunks(TOGETHER).map(|entries| {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, &entry)?;
            lines.push(b'\n');
        }
        Ok(Bytes::from(lines))
    })
}

/// What a follower sees when the server closes is a body without its end, so that nobody takes it for the log's.
fn until_closed<S: Stream<Item = io::Result<Bytes>>>(
    chunks: S,
    closing: Closing,
) -> impl Stream<Item = io::Result<Bytes>> {
    let cut_off = {
        let closing = closing.clone();
        stream::iter([()]).filter_map(move |()| {
            let cut_off = io::Error::from(io::ErrorKind::ConnectionAborted);
            std::future::ready(closing.borrow().then_some(Err(cut_off)))
        })
    };
    chunks.take_until(closed(closing)).chain(cut_off)
}

fn entry(unix_ns: u64, entry: LogEntry) -> LogRecord {
    let record = |kind: &str| LogRecord {
        kind: kind.to_owned(),
        at: time(unix_ns),
        ..LogRecord::default()
    };
    match entry {
        LogEntry::Line { lane, bytes } => LogRecord {
            stream: Some(lane_name(lane).to_owned()),
            ..record("line")
        }
        .with_line(bytes),
        LogEntry::Gap { bytes } => LogRecord {
            lost_bytes: bytes,
            ..record("gap")
        },
        LogEntry::Boot { boot_id } => LogRecord {
            boot_id: Some(boot_id),
            ..record("boot")
        },
    }
}

/// The last entry for somebody who may not read on.
fn taken_away(problem: Problem) -> LogRecord {
    failed(no_longer_permitted(problem))
}

fn failed(failure: Failure) -> LogRecord {
    LogRecord {
        kind: "failed".to_owned(),
        at: Timestamp::now().to_string(),
        message: Some(failure.message),
        ..LogRecord::default()
    }
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Stdout => "stdout",
        Lane::Stderr => "stderr",
    }
}

/// A time beyond what RFC 3339 can write is the last one that it can.
fn time(unix_ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::MAX);
    format!("{time:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(time(1_790_000_000_123_456_789), "2026-09-21T14:13:20.123456789Z");
        assert_eq!(time(0), "1970-01-01T00:00:00.000000000Z");
        assert!(time(u64::MAX).starts_with("2554-"));
    }

    #[test]
    fn a_time_that_is_none_is_refused_by_name() {
        let query = |since: &str| LogQuery {
            since: Some(since.to_owned()),
            ..LogQuery::default()
        };
        let problem = understood(&query("yesterday")).unwrap_err();
        assert_eq!(problem.pointer.as_deref(), Some("/since"));
        let request = understood(&query("1970-01-01T00:00:01.5Z")).unwrap();
        assert_eq!(request.since_unix_ns, Some(1_500_000_000));
        // Before the clock of computers began there is nothing to leave out.
        assert_eq!(
            understood(&query("1960-01-01T00:00:00Z")).unwrap().since_unix_ns,
            Some(0)
        );
    }
}
