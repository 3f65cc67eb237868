//! Files: tar archives of any length, never whole in memory.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{FilesQuery, TAR_MEDIA_TYPE, files};

impl Client {
    /// Reads a file or folder of a VM as a tar archive, piece by piece. An archive that breaks off ends in an error.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn vm_files_read(
        &self,
        vm: &str,
        query: &FilesQuery,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
        let request = self.request(&files::READ, &[vm])?.query(query);
        let answer = tokio::time::timeout(REQUEST_LIMIT, self.send(request)).await;
        let response = answer.map_err(|_| self.cut("the server did not answer in time"))??;
        let client = self.clone();
        let pieces = response.bytes_stream();
        Ok(pieces.map(move |piece| piece.map_err(|_| client.cut("the archive broke off"))))
    }

    /// Unpacks a tar archive in a folder of a VM. It takes as long as it takes.
    ///
    /// # Errors
    /// As [`ClientError`] says. What was unpacked before a failure stays.
    pub async fn vm_files_write(
        &self,
        vm: &str,
        query: &FilesQuery,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), ClientError> {
        let request = self.request(&files::WRITE, &[vm])?.query(query);
        let body = reqwest::Body::wrap_stream(archive);
        let request = request.header(CONTENT_TYPE, TAR_MEDIA_TYPE).body(body);
        self.send(request).await.map(drop)
    }
}
