//! `/v1/vms/{vm}/files`: tar archives in and out, never whole in memory.

use std::io;
use std::time::Duration;

use api::{BYTES_MEDIA_TYPE, FilesQuery, TAR_MEDIA_TYPE};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use control::stream::{End, Failure, Open};
use control::{Control, Operation, Received, Stream, StreamReader, StreamRequest, StreamWriter};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use model::{Problem, ProblemCode};

use crate::access::{while_allowed, withdrawn};
use crate::auth::Signed;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::relay::{lost, refused};

/// How long the rest of a refused archive is taken and thrown away. A client that is still sending would else hear of a
/// broken connection instead of the reason.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// How much of an archive is there before it is answered. Small ones so come whole or as a problem.
const BEGIN: usize = 64 * 1024;

pub(crate) async fn read(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<FilesQuery>,
) -> Result<Response, Refusal> {
    let path = absolute(query.path)?;
    let request = StreamRequest::Guest(Open::ReadFiles { path });
    let vm = control
        .vm_meant(&caller, &vm.parse()?, Operation::VmFilesRead)
        .await?;
    let Stream { mut reader, .. } = control.vm_stream(&caller, &vm.into(), request).await?;
    let (begin, is_all) = begin(&mut reader).await.map_err(refused)?;
    let rest = (!is_all).then_some(reader);
    let begin = stream::iter([Ok(begin)]);
    let withdrawn = withdrawn(&control, &caller, vm, Operation::VmFilesRead);
    let archive = while_allowed(begin.chain(pieces(rest)), withdrawn, |problem| {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, problem.detail))
    });
    let body = Body::from_stream(archive);
    Ok(([(CONTENT_TYPE, TAR_MEDIA_TYPE)], body).into_response())
}

pub(crate) async fn write(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<FilesQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    is_tar(&headers)?;
    let path = absolute(query.path)?;
    let request = StreamRequest::Guest(Open::WriteFiles { path });
    let vm = control
        .vm_meant(&caller, &vm.parse()?, Operation::VmFilesWrite)
        .await?;
    let Stream { writer, reader } = control.vm_stream(&caller, &vm.into(), request).await?;
    tokio::select! {
        copied = copy(body, writer, reader) => copied?,
        problem = withdrawn(&control, &caller, vm, Operation::VmFilesWrite) => return Err(problem.into()),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn absolute(path: String) -> Result<String, Problem> {
    let invalid = |detail: &str| Problem::new(ProblemCode::InvalidValue, detail);
    if !path.starts_with('/') {
        return Err(invalid("a path in a VM is absolute: it begins with /"));
    }
    match path.contains('\0') {
        true => Err(invalid("a path holds no NUL character")),
        false => Ok(path),
    }
}

fn is_tar(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let taken = [TAR_MEDIA_TYPE, BYTES_MEDIA_TYPE];
    match kind.is_some_and(|kind| taken.iter().any(|taken| kind.eq_ignore_ascii_case(taken))) {
        true => Ok(()),
        false => Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "the body is not called a tar archive",
        )
        .hint("send it with the header Content-Type: application/x-tar, not compressed")),
    }
}

/// The next bytes of an archive; `None` behind the last.
async fn piece(reader: &mut StreamReader) -> Result<Option<Bytes>, Failure> {
    match reader.next().await {
        Some(Received::Data { bytes, .. }) => Ok(Some(bytes.into())),
        Some(Received::Ended(End::Done | End::Program(_))) => Ok(None),
        Some(Received::Ended(End::Failed(failure))) => Err(failure),
        None => Err(lost()),
    }
}

/// The begin of an archive, and whether that is all of it. What fails until here is a problem like any other.
async fn begin(reader: &mut StreamReader) -> Result<(Bytes, bool), Failure> {
    let mut begin = Vec::new();
    while begin.len() < BEGIN {
        match piece(reader).await? {
            Some(bytes) => begin.extend_from_slice(&bytes),
            None => return Ok((begin.into(), true)),
        }
    }
    Ok((begin.into(), false))
}

/// The rest of an archive. One that fails breaks off, so that nobody takes it for whole.
fn pieces(reader: Option<StreamReader>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::unfold(reader, |reader| async {
        let mut reader = reader?;
        match piece(&mut reader).await {
            Ok(bytes) => Some((Ok(bytes?), Some(reader))),
            Err(failure) => {
                tracing::warn!(
                    why = failure.message,
                    "an archive broke off on its way out of a VM"
                );
                Some((Err(io::Error::other(failure.message)), None))
            }
        }
    })
}

async fn copy(body: Body, mut writer: StreamWriter, mut reader: StreamReader) -> Result<(), Problem> {
    let mut body = body.into_data_stream();
    let early = tokio::select! {
        sent = send(&mut body, &mut writer) => match sent? {
            Sent::All => None,
            Sent::NoMoreWanted => Some(ended(&mut reader).await),
        },
        early = ended(&mut reader) => Some(early),
    };
    let ended = match early {
        Some(ended) => {
            let rest = async { while body.next().await.is_some_and(|piece| piece.is_ok()) {} };
            // A client that sends for longer than that finds the connection closed.
            let _ = tokio::time::timeout(DRAIN_LIMIT, rest).await;
            ended
        }
        None => {
            writer.end();
            ended(&mut reader).await
        }
    };
    ended.map_err(refused)
}

/// How far an archive got.
enum Sent {
    All,
    /// The stream has ended; its reader tells why.
    NoMoreWanted,
}

async fn send(body: &mut axum::body::BodyDataStream, writer: &mut StreamWriter) -> Result<Sent, Problem> {
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| broken_off())?;
        if writer.data(&piece).await.is_err() {
            return Ok(Sent::NoMoreWanted);
        }
    }
    Ok(Sent::All)
}

async fn ended(reader: &mut StreamReader) -> Result<(), Failure> {
    while piece(reader).await?.is_some() {}
    Ok(())
}

fn broken_off() -> Problem {
    Problem::new(ProblemCode::InvalidRequest, "the archive broke off")
}
