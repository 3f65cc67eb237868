//! An OCI image layout: a directory with `index.json` and `blobs/sha256/…` (image-spec v1.1, "Image Layout").

use std::io;
use std::path::PathBuf;

use model::OciLayout;
use tokio::io::AsyncReadExt;

use super::{BlobInfo, SourceError};
use crate::config::Architecture;
use crate::spec::{self, Descriptor, Document, MAX_DOCUMENT, SpecError};

/// A layout, and which of its images is meant.
pub(crate) struct Layout {
    reference: OciLayout,
}

impl Layout {
    /// Nothing is read yet.
    pub(super) fn new(reference: OciLayout) -> Self {
        Self { reference }
    }

    /// The manifest or index that the reference names.
    pub(super) async fn top(&self, architecture: Architecture) -> Result<Vec<u8>, SourceError> {
        let index = self
            .read_file(self.reference.directory.join("index.json"), "index.json")
            .await?;
        let Document::Index(entries) = Document::parse(&index)? else {
            return Err(SpecError::Unknown.into());
        };
        let entry = choose(&entries, self.reference.tag.as_deref(), architecture)?;
        let blob = super::document_info(entry)?;
        super::checked(self.read(blob).await?, blob)
    }

    /// A small blob, unchecked.
    pub(super) async fn read(&self, blob: BlobInfo) -> Result<Vec<u8>, SourceError> {
        self.read_file(self.blob_path(blob), &blob.digest.to_string())
            .await
    }

    /// A blob's file.
    pub(super) async fn open(&self, blob: BlobInfo) -> Result<std::fs::File, SourceError> {
        Ok(open(self.blob_path(blob), &blob.digest.to_string())
            .await?
            .into_std()
            .await)
    }

    fn blob_path(&self, blob: BlobInfo) -> PathBuf {
        self.reference
            .directory
            .join("blobs/sha256")
            .join(blob.digest.hex())
    }

    async fn read_file(&self, path: PathBuf, what: &str) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let mut file = open(path, what).await?.take(MAX_DOCUMENT + 1);
        let size = file
            .read_to_end(&mut bytes)
            .await
            .map_err(|source| SourceError::Read { source })? as u64;
        if size > MAX_DOCUMENT {
            return Err(SpecError::TooLarge {
                size,
                limit: MAX_DOCUMENT,
            }
            .into());
        }
        Ok(bytes)
    }
}

/// The one image that is meant. Without a tag there must be no choice.
fn choose<'a>(
    entries: &'a [Descriptor],
    tag: Option<&str>,
    architecture: Architecture,
) -> Result<&'a Descriptor, SourceError> {
    let tags = || {
        entries
            .iter()
            .filter_map(Descriptor::tag)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let named = entries
        .iter()
        .filter(|entry| tag.is_none() || entry.tag() == tag)
        .collect::<Vec<_>>();
    if named.is_empty() {
        let what = match tag {
            Some(tag) => format!("tag {tag:?} (the layout has: {})", tags().join(", ")),
            None => "any image".to_owned(),
        };
        return Err(SourceError::NotFound { what });
    }
    let fitting = spec::fitting(named.iter().copied(), architecture);
    let Some(&best) = fitting.first() else {
        return Err(SourceError::Platform {
            wanted: architecture,
            offered: spec::platforms(named),
        });
    };
    if tag.is_none() && fitting.iter().any(|entry| entry.digest != best.digest) {
        return Err(SourceError::SeveralImages { tags: tags() });
    }
    Ok(best)
}

/// Opens a regular file; anything else could block for ever.
async fn open(path: PathBuf, what: &str) -> Result<tokio::fs::File, SourceError> {
    let missing = || SourceError::NotFound {
        what: what.to_owned(),
    };
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            missing()
        } else {
            SourceError::Read { source }
        }
    };
    if !tokio::fs::metadata(&path).await.map_err(failed)?.is_file() {
        return Err(SourceError::NotFound {
            what: what.to_owned(),
        });
    }
    tokio::fs::File::open(path).await.map_err(failed)
}
