//! The cache on disk.
//!
//! ```text
//!   ROOT/layers/<diff id>/{entries,data}        a layer, shared by images; no data if it has no file contents
//!                         guards                who may use it without fetching it, unless anybody may
//!        images/<manifest digest>/{manifest,config,split.erofs,flat.erofs,guards}
//!        references/<digest of the text>        which manifest a reference led to
//!        temporary/<number>/                    work in progress, locked by whoever does it
//!        locks/…  in-use                        who pulls what; shared by pulls, taken alone by sweeps
//! ```
//!
//! What always holds: everything outside `temporary` is whole. It was written and synced there, then renamed
//! into place and its directory synced. A name in the cache never changes its content; only `references` and `guards` do.
//! Locks are `flock`, so they end with their process, and work within a process as between several.

mod guards;
mod lock;
mod temporary;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::Digest;

use crate::codec;
use crate::guard::Access;
use crate::layer::{self, Unpacked};
pub(crate) use lock::Lock;
pub(crate) use temporary::Temporary;

/// A step of the cache that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", .path.display())]
pub(crate) struct StoreError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// For `map_err`: names the operation and its path.
    fn of<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// What the cache has for a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cached {
    /// Nothing.
    No,
    /// Something that this pull must show to have.
    Guarded,
    /// Something it may use.
    Usable,
}

/// The cache's directories.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// Makes what is missing and removes what dead processes left.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self {
            root: root.to_owned(),
        };
        for directory in [
            store.layers(),
            store.images(),
            store.references(),
            store.temporaries(),
            store.locks(),
        ] {
            fs::create_dir_all(&directory).map_err(StoreError::of("make the directory", &directory))?;
        }
        store.sweep_temporaries()?;
        Ok(store)
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    fn references(&self) -> PathBuf {
        self.root.join("references")
    }

    fn temporaries(&self) -> PathBuf {
        self.root.join("temporary")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    pub(crate) fn image(&self, digest: &Digest) -> PathBuf {
        self.images().join(digest.hex())
    }

    /// A directory for work in progress; it goes away with the value.
    pub(crate) fn temporary(&self) -> Result<Temporary, StoreError> {
        let parent = self.temporaries();
        Temporary::new(&parent).map_err(StoreError::of("make a directory in", &parent))
    }

    /// Tries to take the lock of a name.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<Lock>, StoreError> {
        let path = self.locks().join(name);
        Lock::try_take(&path).map_err(StoreError::of("take the lock", &path))
    }

    /// Tries to say that layers are in use (`alone: false`) or to have the cache to itself.
    pub(crate) fn try_use(&self, alone: bool) -> Result<Option<File>, StoreError> {
        let path = self.root.join("in-use");
        lock::try_flock(&path, alone).map_err(StoreError::of("take the lock", &path))
    }

    /// Moves a finished, synced file or directory to its place.
    pub(crate) fn publish(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let rename = || {
            if from.is_dir() {
                File::open(from)?.sync_all()?;
            }
            fs::rename(from, to)?;
            to.parent()
                .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        rename().map_err(StoreError::of("publish", to))
    }

    /// A layer's entries, if the layer is here and whole.
    pub(crate) fn read_layer(&self, diff_id: &Digest) -> Result<Option<Unpacked>, StoreError> {
        let list = self.layer(diff_id).join(layer::ENTRIES);
        let bytes = match fs::read(&list) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::of("read", &list)(error)),
        };
        let layer = codec::decode(&bytes).filter(|layer| self.blob_length(diff_id) == layer.length);
        if layer.is_none() {
            tracing::warn!(layer = %diff_id, "a layer in the cache is damaged");
        }
        Ok(layer)
    }

    /// Whether a pull may use a layer as it is here; if so, it is one of those that have it from now on.
    pub(crate) fn use_layer(&self, diff_id: &Digest, access: &Access) -> Result<Cached, StoreError> {
        if self.read_layer(diff_id)?.is_none() {
            return Ok(Cached::No);
        }
        let directory = self.layer(diff_id);
        if !self.lets_in(&directory, access)? {
            return Ok(Cached::Guarded);
        }
        self.admit(&directory, access)?;
        Ok(Cached::Usable)
    }

    /// The length of a layer's data blob, 0 if it has none.
    pub(crate) fn blob_length(&self, diff_id: &Digest) -> u64 {
        fs::metadata(self.layer(diff_id).join(layer::DATA)).map_or(0, |data| data.len())
    }

    /// Digests that have an entry in a directory of the cache.
    pub(crate) fn digests(&self, directory: &Path) -> Result<Vec<Digest>, StoreError> {
        let names = names(directory).map_err(StoreError::of("list", directory))?;
        Ok(names
            .iter()
            .filter_map(|name| format!("sha256:{name}").parse().ok())
            .collect())
    }

    /// The same in place of something damaged. Its lock must be held.
    pub(crate) fn replace(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.discard(to)?;
        self.publish(from, to)
    }

    /// Removes a directory at once for readers of the cache, then its content.
    pub(crate) fn discard(&self, directory: &Path) -> Result<(), StoreError> {
        let grave = self.temporary()?;
        match fs::rename(directory, grave.path().join("discarded")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(StoreError::of("remove", directory)),
        }
    }

    /// Writes down where a reference led.
    pub(crate) fn remember(&self, reference: &str, digest: &Digest) -> Result<(), StoreError> {
        let place = self
            .references()
            .join(crate::source::digest_of(reference.as_bytes()).hex());
        let temporary = self.temporary()?;
        let draft = temporary.path().join("reference");
        let write = || {
            let mut file = File::create_new(&draft)?;
            writeln!(file, "{digest} {reference}")?;
            file.sync_all()
        };
        write().map_err(StoreError::of("write", &draft))?;
        self.publish(&draft, &place)
    }

    /// All references, each with the manifest it led to and its file.
    pub(crate) fn remembered(&self) -> Result<Vec<(Digest, String, PathBuf)>, StoreError> {
        let directory = self.references();
        let names = names(&directory).map_err(StoreError::of("list", &directory))?;
        let read = |name: &String| {
            let path = directory.join(name);
            let line = fs::read_to_string(&path).ok()?;
            let (digest, reference) = line.trim_end().split_once(' ')?;
            Some((digest.parse().ok()?, reference.to_owned(), path))
        };
        Ok(names.iter().filter_map(read).collect())
    }

    /// Removes a reference, given its file.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(StoreError::of("remove", path)),
        }
    }

    /// Removes work in progress that nobody is working on any more.
    pub(crate) fn sweep_temporaries(&self) -> Result<(), StoreError> {
        let parent = self.temporaries();
        temporary::sweep(&parent).map_err(StoreError::of("sweep", &parent))
    }
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}
