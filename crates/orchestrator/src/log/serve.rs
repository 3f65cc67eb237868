//! A log on its way to one who asked for it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use link::LogWriter;
use wire::link::{LogEntry, LogRecord, LogRequest};
use wire::stream::{End, Failure, FailureCode};

use super::reader::Reader;
use super::{LogSource, file_path, sequences};

/// Why a log is not sent to its end.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("failed to read the VM's log")]
    Read(#[from] io::Error),
    #[error("a background task of the host ended early")]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Unread(#[from] link::Unread),
}

/// Sends what is asked for, until its end or until nobody reads it.
pub(crate) async fn serve(source: LogSource, request: LogRequest, log: LogWriter) {
    let end = match send(source, request, &log).await {
        Ok(()) => End::Done,
        Err(ServeError::Unread(_)) => return,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a log is not sent");
            End::Failed(Failure {
                code: FailureCode::Failed,
                message: "the host cannot read the VM's log; its own log tells why".to_owned(),
            })
        }
    };
    log.end(end).await;
}

async fn send(mut source: LogSource, request: LogRequest, log: &LogWriter) -> Result<(), ServeError> {
    let mut cursor = None::<Cursor>;
    loop {
        // Marked as seen before reading, so that a write between reading and waiting wakes at once.
        source.grown.borrow_and_update();
        let folder = source.folder.clone();
        let (next, records) = tokio::task::spawn_blocking(move || {
            let cursor = match cursor {
                None => Cursor::begin(&folder, request)?,
                held @ Some(_) => held,
            };
            match cursor {
                None => Ok((None, VecDeque::new())),
                Some(mut cursor) => {
                    let records = cursor.read()?;
                    Ok::<_, io::Error>((Some(cursor), records))
                }
            }
        })
        .await??;
        cursor = next;
        let at_end = records.is_empty();
        for record in records {
            log.send(record).await?;
        }
        if !at_end {
            continue;
        }
        let gone = !request.follow
            || tokio::select! {
                grown = source.grown.changed() => grown.is_err(),
                () = log.unread() => return Err(link::Unread.into()),
            };
        if gone {
            for record in cursor.map(|mut cursor| cursor.rest()).unwrap_or_default() {
                log.send(record).await?;
            }
            return Ok(());
        }
    }
}

/// A reader that passes over what was not asked for.
struct Cursor {
    reader: Reader,
    since: u64,
    /// Lines that are passed over, as more are there than were asked for.
    skip: u64,
}

impl Cursor {
    /// Where reading begins; `None` while there is no log.
    fn begin(folder: &Path, request: LogRequest) -> io::Result<Option<Self>> {
        let since = request.since_unix_ns.unwrap_or(0);
        let files = sequences(folder)?;
        let Some(&newest) = files.last() else {
            return Ok(None);
        };
        let end = (newest, length(&file_path(folder, newest))?);
        let mut begin = None;
        for &sequence in files.iter().rev() {
            // A file that has gone meanwhile takes the older ones with it.
            let Some(reader) = Reader::open(folder.to_owned(), sequence)? else {
                break;
            };
            let present = reader.clone().until(end);
            let reader = if request.follow { reader } else { present.clone() };
            let mut cursor = Self {
                reader,
                since,
                skip: 0,
            };
            let Some(tail) = request.tail else {
                begin = Some(cursor);
                continue;
            };
            let there = Self {
                reader: present,
                since,
                skip: 0,
            }
            .count(!request.follow)?;
            cursor.skip = there.saturating_sub(tail);
            begin = Some(cursor);
            if there >= tail {
                break;
            }
        }
        Ok(begin)
    }

    /// The next records; none at the end of what is there now.
    fn read(&mut self) -> io::Result<VecDeque<LogRecord>> {
        loop {
            let records = self.reader.read()?;
            let at_end = records.is_empty();
            let wanted = self.wanted(records);
            if at_end || !wanted.is_empty() {
                return Ok(wanted);
            }
        }
    }

    /// The lines that have begun and will not end.
    fn rest(&mut self) -> VecDeque<LogRecord> {
        let rest = self.reader.flush();
        self.wanted(rest)
    }

    fn wanted(&mut self, records: Vec<LogRecord>) -> VecDeque<LogRecord> {
        let mut wanted = VecDeque::from(records);
        wanted.retain(|record| record.unix_ns >= self.since && !self.skips(record));
        wanted
    }

    fn skips(&mut self, record: &LogRecord) -> bool {
        let skips = self.skip > 0;
        if skips && matches!(record.entry, LogEntry::Line { .. }) {
            self.skip -= 1;
        }
        skips
    }

    fn count(mut self, with_rest: bool) -> io::Result<u64> {
        let lines = |records: &VecDeque<LogRecord>| {
            let lines = records
                .iter()
                .filter(|record| matches!(record.entry, LogEntry::Line { .. }));
            lines.count() as u64
        };
        let mut count = 0;
        loop {
            let records = self.read()?;
            count += lines(&records);
            if records.is_empty() {
                break;
            }
        }
        if with_rest {
            count += lines(&self.rest());
        }
        Ok(count)
    }
}

fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
