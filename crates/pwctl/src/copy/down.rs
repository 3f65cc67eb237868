//! From a VM to here.

use std::io;
use std::path::{Path, PathBuf};

use api::{Client, ClientError, FilesQuery};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tar::{Archive, EntryType};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::pipe::{In, incoming};
use super::place::{Kind, Place, place, split};
use super::unpack::{Unpacking, unpack};
use super::up::misplaced;
use crate::failure::Failure;

/// As many links are followed from one name to the next as Linux follows.
const MOST_LINKS: usize = 40;

/// Copies a file or folder.
pub(crate) async fn down(client: &Client, vm: &str, source: &str, destination: &Path) -> Result<(), Failure> {
    let from = first_of(client, vm, source).await?;
    let from = if from.kind == EntryType::Directory {
        Kind::Folder
    } else {
        Kind::File
    };
    let place = place_here(source, from, destination)?;
    let (sender, archive) = incoming();
    let unpacked = tokio::task::spawn_blocking(move || unpack_at(archive, &place));
    let received = receive(pieces(client, vm, source).await?, sender).await;
    // What came is unpacked; where it broke off, that is the cause.
    let unpacked = unpacked.await.map_err(|source| Failure::Thread { source })?;
    received?;
    unpacked.map_err(|source| Failure::Unpack { source })
}

/// Copies to standard output, as a tar archive.
pub(crate) async fn out(client: &Client, vm: &str, source: &str) -> Result<(), Failure> {
    let mut pieces = std::pin::pin!(pieces(client, vm, source).await?);
    let mut out = tokio::io::stdout();
    while let Some(piece) = pieces.next().await {
        let written = out.write_all(&piece?).await;
        written.map_err(|source| Failure::Output { source })?;
    }
    out.flush().await.map_err(|source| Failure::Output { source })
}

fn place_here(source: &str, from: Kind, destination: &Path) -> Result<Place, Failure> {
    let to = match std::fs::metadata(destination) {
        Ok(found) if found.is_dir() => Kind::Folder,
        Ok(_) => Kind::File,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kind::Nothing,
        Err(error) => {
            return Err(Failure::Here {
                path: destination.to_owned(),
                source: error,
            });
        }
    };
    let name = split(source.trim_end_matches("/.")).1;
    let destination = destination.to_string_lossy();
    place(source, &name, from, &destination, to).map_err(|why| misplaced(why, &destination))
}

fn unpack_at(archive: In, place: &Place) -> Result<(), Unpacking> {
    unpack(archive, Path::new(&place.folder), place.name.as_deref())
}

async fn pieces(
    client: &Client,
    vm: &str,
    path: &str,
) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
    let query = FilesQuery {
        path: path.to_owned(),
    };
    client.vm_files_read(vm, &query).await
}

async fn receive(
    pieces: impl Stream<Item = Result<Bytes, ClientError>>,
    archive: mpsc::Sender<Bytes>,
) -> Result<(), ClientError> {
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        if archive.send(piece?).await.is_err() {
            // Whoever unpacks has failed, or has seen enough.
            return Ok(());
        }
    }
    Ok(())
}

/// The first entry of an archive.
struct First {
    kind: EntryType,
    target: Option<PathBuf>,
}

async fn first_of(client: &Client, vm: &str, path: &str) -> Result<First, Failure> {
    let (sender, archive) = incoming();
    let read = tokio::task::spawn_blocking(move || read_first(archive));
    receive(pieces(client, vm, path).await?, sender).await?;
    let first = read.await.map_err(|source| Failure::Thread { source })?;
    first.map_err(|source| Failure::Unpack {
        source: Unpacking::Archive(source),
    })
}

fn read_first(archive: In) -> io::Result<First> {
    let mut archive = Archive::new(archive);
    let first = archive.entries()?.next();
    let first = first.ok_or(io::ErrorKind::UnexpectedEof)??;
    Ok(First {
        kind: first.header().entry_type(),
        target: first.link_name()?.map(|target| target.into_owned()),
    })
}

/// What stands at a path in a VM, links followed.
pub(super) async fn kind_in_vm(client: &Client, vm: &str, path: &str) -> Result<Kind, Failure> {
    let mut path = path.trim_end_matches("/.").to_owned();
    for _ in 0..MOST_LINKS {
        let first = match first_of(client, vm, &path).await {
            Ok(first) => first,
            Err(Failure::Client(error)) if is_no_file(&error) => return Ok(Kind::Nothing),
            Err(failure) => return Err(failure),
        };
        match (first.kind, first.target) {
            (EntryType::Directory, _) => return Ok(Kind::Folder),
            (EntryType::Symlink, Some(target)) => {
                let (folder, _) = split(&path);
                path = Path::new(&folder).join(target).to_string_lossy().into_owned();
            }
            (_, _) => return Ok(Kind::File),
        }
    }
    Ok(Kind::File)
}

/// Whether the server says that there is no such file; without the VM, nothing further would work either.
fn is_no_file(error: &ClientError) -> bool {
    error.is_not_found()
}
