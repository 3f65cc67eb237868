//! A log on its way from a host to a client.

use tokio::sync::mpsc;
use wire::link::LogRecord;
use wire::stream::{End, Failure, FailureCode};

/// Records under way. Each is at most [`wire::link::MAX_LINE`] bytes and a little.
const UNDER_WAY: usize = 16;

/// Nobody reads the log any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the log any more")]
pub struct Unread;

enum Said {
    Record(LogRecord),
    Ended(End),
}

/// Both ends of a log.
pub fn log() -> (LogReader, LogWriter) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    (LogReader(Some(receiver)), LogWriter(sender))
}

/// The client's end.
pub struct LogReader(Option<mpsc::Receiver<Said>>);

impl LogReader {
    /// The next record; `None` behind the last.
    ///
    /// # Errors
    /// The log cannot be read, or not any further; nothing comes after that.
    pub async fn next(&mut self) -> Result<Option<LogRecord>, Failure> {
        let Some(receiver) = &mut self.0 else {
            return Ok(None);
        };
        let end = match receiver.recv().await {
            Some(Said::Record(record)) => return Ok(Some(record)),
            Some(Said::Ended(end)) => end,
            None => End::Failed(lost()),
        };
        self.0 = None;
        match end {
            End::Done | End::Program(_) => Ok(None),
            End::Failed(failure) => Err(failure),
        }
    }
}

/// The host's end. Dropped without [`LogWriter::end`], the log ends as lost.
pub struct LogWriter(mpsc::Sender<Said>);

impl LogWriter {
    /// Sends a record, once there is room.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn send(&self, record: LogRecord) -> Result<(), Unread> {
        self.0.send(Said::Record(record)).await.map_err(|_| Unread)
    }

    /// Says that nothing follows.
    pub async fn end(self, end: End) {
        // A client that has gone needs no end.
        let _ = self.0.send(Said::Ended(end)).await;
    }

    /// Returns once the client has gone.
    pub async fn unread(&self) {
        self.0.closed().await;
    }
}

/// What a client hears when its host vanished.
pub(crate) fn lost() -> Failure {
    Failure {
        code: FailureCode::Lost,
        message: "the way to the VM's host was lost".to_owned(),
    }
}
