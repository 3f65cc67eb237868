//! Logs: lines of JSON, as they come.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{LINES_MEDIA_TYPE, LogQuery, LogRecord, logs};

/// Longer than any line that a server sends; more without an end is none of ours.
const LONGEST_LINE: usize = 1024 * 1024;

impl Client {
    /// Reads a VM's log. An entry of type `failed`, or an error, is the last one.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn vm_logs(
        &self,
        vm: &str,
        query: &LogQuery,
    ) -> Result<impl Stream<Item = Result<LogRecord, ClientError>> + Send + Unpin + use<>, ClientError> {
        let request = self.request(&logs::LOGS, &[vm])?.query(query);
        let request = request.header(http::header::ACCEPT, LINES_MEDIA_TYPE);
        let answer = tokio::time::timeout(REQUEST_LIMIT, self.send(request)).await;
        let response = answer.map_err(|_| self.cut("the server did not answer in time"))??;
        let lines = Lines {
            chunks: Box::pin(response.bytes_stream()),
            buffer: BytesMut::new(),
            client: self.clone(),
            ended: false,
        };
        Ok(Box::pin(stream::unfold(lines, |mut lines| async move {
            let record = lines.next().await?;
            lines.ended = record.is_err();
            Some((record, lines))
        })))
    }
}

type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

struct Lines {
    chunks: Chunks,
    buffer: BytesMut,
    client: Client,
    ended: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<LogRecord, ClientError>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Some(self.parse(&line));
            }
            if self.buffer.len() > LONGEST_LINE {
                return Some(Err(self.client.cut("a line has no end")));
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(_)) => return Some(Err(self.client.cut("the log broke off"))),
                None if self.buffer.is_empty() => return None,
                None => return Some(Err(self.client.cut("the last line has no end"))),
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<LogRecord, ClientError> {
        serde_json::from_slice(line).map_err(|source| ClientError::Answer {
            url: self.client.url().to_owned(),
            source,
        })
    }
}
