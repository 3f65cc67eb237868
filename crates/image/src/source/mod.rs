//! Where images come from: a registry, or an OCI layout on this host. Both give documents by digest and blobs
//! as streams; what they give is checked against the digest that was asked for, here or by who reads the blob.

mod auth;
mod layout;
mod registry;

use std::io;

use model::{Digest, ImageRef, RegistryCredentials};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::Architecture;
use crate::guard::Access;
use crate::layer::Bytestream;
use crate::spec::{self, Descriptor, Document, Manifest, SpecError};
pub(crate) use registry::{Http, back_off};

/// How deep indexes may be nested.
const MAX_NESTING: usize = 4;

/// Why something cannot be read from a source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{what} does not exist there")]
    NotFound { what: String },
    #[error("{registry} refuses access (HTTP status {status})")]
    Forbidden { registry: String, status: u16 },
    #[error("{registry} cannot be reached")]
    Unreachable {
        registry: String,
        source: reqwest::Error,
    },
    #[error("{registry} did not answer in time")]
    TimedOut {
        registry: String,
        source: reqwest::Error,
    },
    #[error("{registry} answered with HTTP status {status}")]
    Status { registry: String, status: u16 },
    #[error("{registry} answered with something that is not the distribution protocol: {what}")]
    Protocol { registry: String, what: &'static str },
    #[error("the HTTP client cannot be set up")]
    Client { source: reqwest::Error },
    #[error("the connection broke after {received} of {expected} bytes")]
    Interrupted {
        received: u64,
        expected: u64,
        source: reqwest::Error,
    },
    #[error("it ends after {received} of {expected} bytes")]
    Truncated { received: u64, expected: u64 },
    #[error("it is longer than the {expected} bytes announced")]
    TooLong { expected: u64 },
    #[error("it has the digest {actual}, but {expected} was asked for")]
    Digest { expected: Digest, actual: Digest },
    #[error("the file cannot be read")]
    Read { source: io::Error },
    #[error("the layout holds several images for this platform; add one of these tags: {}", .tags.join(", "))]
    SeveralImages { tags: Vec<String> },
    #[error("it has no image for linux/{wanted}, only for: {}", .offered.join(", "))]
    Platform {
        wanted: Architecture,
        offered: Vec<String>,
    },
    #[error("it is not an image that can be used")]
    Spec(#[from] SpecError),
}

impl SourceError {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Interrupted { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::NotFound { .. }
            | Self::Forbidden { .. }
            | Self::Protocol { .. }
            | Self::Client { .. }
            | Self::Truncated { .. }
            | Self::TooLong { .. }
            | Self::Digest { .. }
            | Self::Read { .. }
            | Self::SeveralImages { .. }
            | Self::Platform { .. }
            | Self::Spec(_) => false,
        }
    }
}

/// What names a blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlobInfo {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl From<&Descriptor> for BlobInfo {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest,
            size: descriptor.size,
        }
    }
}

/// An image's manifest, as found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
}

/// One place that images come from.
pub(crate) enum Source {
    Layout(layout::Layout),
    Registry(Box<registry::Registry>),
}

impl Source {
    /// The place that a reference names.
    pub(crate) fn of(
        reference: &ImageRef,
        credentials: Option<RegistryCredentials>,
        http: &Http,
    ) -> Result<Self, SourceError> {
        Ok(match reference {
            ImageRef::Layout(reference) => Self::Layout(layout::Layout::new(reference.clone())),
            ImageRef::Registry(reference) => Self::Registry(Box::new(http.registry(reference, credentials)?)),
        })
    }

    /// As far as it matters who else may read there.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Layout(_) => Access::Anybody { repository: None },
            Self::Registry(registry) => registry.access(),
        }
    }

    /// Finds the manifest for a platform.
    pub(crate) async fn find(&self, architecture: Architecture) -> Result<Found, SourceError> {
        let mut bytes = match self {
            Self::Layout(layout) => layout.top(architecture).await?,
            Self::Registry(registry) => registry.top().await?,
        };
        for _ in 0..MAX_NESTING {
            match Document::parse(&bytes)? {
                Document::Manifest(manifest) => {
                    return Ok(Found {
                        digest: digest_of(&bytes),
                        bytes,
                        manifest,
                    });
                }
                Document::Index(entries) => {
                    let best = spec::fitting(&entries, architecture).into_iter().next();
                    let none = || SourceError::Platform {
                        wanted: architecture,
                        offered: spec::platforms(&entries),
                    };
                    bytes = self.manifest(best.ok_or_else(none)?).await?;
                }
            }
        }
        Err(SpecError::Nested.into())
    }

    /// A small blob, such as an image's configuration.
    pub(crate) async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
        let blob = document_info(descriptor)?;
        let bytes = match self {
            Self::Layout(layout) => layout.read(blob).await?,
            Self::Registry(registry) => registry.document(blob).await?,
        };
        checked(bytes, blob)
    }

    /// A blob as a stream, which ends early when `cancelled`.
    pub(crate) async fn blob(
        &self,
        blob: BlobInfo,
        cancelled: &CancellationToken,
    ) -> Result<Bytestream, SourceError> {
        match self {
            Self::Layout(layout) => layout.open(blob).await.map(Bytestream::File),
            Self::Registry(registry) => registry.blob(blob, cancelled).await.map(Bytestream::Channel),
        }
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
        let blob = document_info(descriptor)?;
        let bytes = match self {
            Self::Layout(layout) => layout.read(blob).await?,
            Self::Registry(registry) => registry.manifest(&blob.digest).await?,
        };
        checked(bytes, blob)
    }
}

/// The digest of a document.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

fn document_info(descriptor: &Descriptor) -> Result<BlobInfo, SourceError> {
    let blob = BlobInfo::from(descriptor);
    if blob.size > spec::MAX_DOCUMENT {
        return Err(SpecError::TooLarge {
            size: blob.size,
            limit: spec::MAX_DOCUMENT,
        }
        .into());
    }
    Ok(blob)
}

fn checked(bytes: Vec<u8>, blob: BlobInfo) -> Result<Vec<u8>, SourceError> {
    let actual = digest_of(&bytes);
    if actual == blob.digest {
        Ok(bytes)
    } else {
        Err(SourceError::Digest {
            expected: blob.digest,
            actual,
        })
    }
}
