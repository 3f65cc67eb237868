//! From here to a VM.

use std::fs;
use std::path::{Path, PathBuf};

use api::{Client, FilesQuery};

use super::down::kind_in_vm;
use super::pack::{Unpacked, pack};
use super::pipe::{Out, outgoing};
use super::place::{Kind, Misplaced, place};
use crate::failure::Failure;
use crate::terminal;

/// Copies a file or folder.
pub(crate) async fn up(client: &Client, source: &Path, vm: &str, destination: &str) -> Result<(), Failure> {
    let (from, name) = source_of(source)?;
    let to = kind_in_vm(client, vm, destination).await?;
    let written = source.to_string_lossy();
    let place = place(&written, &name, from, destination, to).map_err(|why| misplaced(why, destination))?;
    let (out, archive) = outgoing();
    let packed = {
        let (source, name) = (source.to_owned(), place.name);
        tokio::task::spawn_blocking(move || send(&source, name.as_deref(), out))
    };
    let query = FilesQuery { path: place.folder };
    let uploaded = client.vm_files_write(vm, &query, archive).await;
    match packed.await {
        Ok(Err(Unpacked {
            path: Some(path),
            source,
        })) => Err(Failure::Here { path, source }),
        // Where it could not be sent any further, the server says why.
        Ok(_) => Ok(uploaded?),
        Err(panic) => Err(Failure::Thread { source: panic }),
    }
}

/// Hands a tar archive on standard input over as it is.
pub(crate) async fn upload(client: &Client, vm: &str, destination: &str) -> Result<(), Failure> {
    let mut typed = terminal::typed();
    let pieces = futures_util::stream::poll_fn(move |context| typed.poll_recv(context));
    let archive = futures_util::StreamExt::map(pieces, |piece| Ok(piece.into()));
    let query = FilesQuery {
        path: destination.to_owned(),
    };
    Ok(client.vm_files_write(vm, &query, archive).await?)
}

/// What stands at the source, and its own name, which for `.` and `..` is that of the folder.
fn source_of(source: &Path) -> Result<(Kind, String), Failure> {
    let failed = |error| Failure::Here {
        path: source.to_owned(),
        source: error,
    };
    let is_folder = match source.as_os_str().as_encoded_bytes().ends_with(b"/") {
        true => fs::metadata(source).map_err(failed)?.is_dir(),
        false => fs::symlink_metadata(source).map_err(failed)?.is_dir(),
    };
    let name = match source.file_name() {
        Some(name) => PathBuf::from(name),
        None => fs::canonicalize(source).map_err(failed)?,
    };
    let name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let kind = if is_folder { Kind::Folder } else { Kind::File };
    Ok((kind, name))
}

fn send(source: &Path, name: Option<&str>, mut out: Out) -> Result<(), Unpacked> {
    let packed = pack(source, name, &mut out);
    if packed.is_err() {
        out.break_off();
    }
    packed
}

pub(super) fn misplaced(why: Misplaced, destination: &str) -> Failure {
    let destination = destination.to_owned();
    match why {
        Misplaced::NoFolder => Failure::NoFolder { destination },
        Misplaced::FolderOntoFile => Failure::FolderOntoFile { destination },
    }
}
