//! What can go wrong, and what people are told about it.

use std::error::Error;
use std::io;

use model::{Digest, Reason, ReasonCode};

use crate::build::BuildError;
use crate::layer::{LayerError, UnpackError};
use crate::source::SourceError;
use crate::store::StoreError;

/// The cache cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the image cache")]
pub struct OpenError(#[from] StoreError);

/// The cache failed.
#[derive(Debug, thiserror::Error)]
#[error("the image cache failed")]
pub struct CacheError(#[from] pub(crate) CacheFailure);

/// How the cache failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheFailure {
    #[error("a step of it failed")]
    Store(#[from] StoreError),
    #[error("image {0} is being pulled")]
    Busy(Digest),
}

/// An image cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PullError(Box<PullFailure>);

/// Which part of a pull failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullFailure {
    #[error("cannot read image {reference}")]
    Source { reference: String, source: SourceError },
    #[error("cannot take in layer {digest} of image {reference}")]
    Layer {
        reference: String,
        digest: Digest,
        source: LayerError,
    },
    #[error("cannot make the root filesystem of image {reference}")]
    Build { reference: String, source: BuildError },
    #[error("the image cache failed")]
    Store(#[from] StoreError),
    #[error("the pull was given up")]
    Interrupted(#[source] Option<tokio::task::JoinError>),
}

impl<E: Into<PullFailure>> From<E> for PullError {
    fn from(failure: E) -> Self {
        Self(Box::new(failure.into()))
    }
}

impl PullError {
    /// The same for people: what happened with its causes, what to do, and whether time may mend it.
    pub fn reason(&self) -> Reason {
        let message = sentence(&*self.0);
        if is_disk_full(&*self.0) {
            let hint = "Free space on the host, or remove images that are no longer needed; then try again.";
            return Reason::passing(ReasonCode::DiskFull, message, hint);
        }
        match &*self.0 {
            PullFailure::Source { source, .. } => of_source(source, message),
            PullFailure::Layer { source, .. } => of_layer(source, message),
            PullFailure::Build { source, .. } => of_build(source, message),
            PullFailure::Store(_) => of_cache(message),
            PullFailure::Interrupted(_) => Reason::passing(ReasonCode::HostFailed, message, "Try again."),
        }
    }
}

fn of_source(error: &SourceError, message: String) -> Reason {
    use ReasonCode as Code;
    match error {
        SourceError::NotFound { .. } => Reason::lasting(
            Code::ImageNotFound,
            message,
            "Check the image's name and tag; some registries also answer so for private images.",
        ),
        SourceError::Forbidden { .. } => Reason::lasting(
            Code::ImageForbidden,
            message,
            "The image does not exist or is private; check its name, or give credentials that may pull it.",
        ),
        SourceError::Unreachable { .. } | SourceError::TimedOut { .. } => Reason::passing(
            Code::RegistryUnreachable,
            message,
            "Check the registry's name and the host's network; it is tried again by itself.",
        ),
        SourceError::Status { .. } if error.is_transient() => Reason::passing(
            Code::RegistryFailed,
            message,
            "The registry is in trouble; it is tried again by itself.",
        ),
        SourceError::Status { .. } | SourceError::Protocol { .. } | SourceError::Client { .. } => {
            Reason::lasting(
                Code::RegistryFailed,
                message,
                "Check that the reference names a container registry.",
            )
        }
        SourceError::Interrupted { .. } => Reason::passing(
            Code::LayerTruncated,
            message,
            "The connection to the registry breaks; it is tried again by itself.",
        ),
        SourceError::Truncated { .. } => Reason::lasting(
            Code::LayerTruncated,
            message,
            "Push the image again, or copy the layout again.",
        ),
        SourceError::TooLong { .. } | SourceError::Digest { .. } => Reason::lasting(
            Code::DigestMismatch,
            message,
            "The image was damaged or changed on its way; push it again, or use another registry.",
        ),
        SourceError::Read { .. } => Reason::lasting(
            Code::HostFailed,
            message,
            "Check that the host may read the layout and its disk is healthy.",
        ),
        SourceError::SeveralImages { .. } => Reason::lasting(
            Code::ImageInvalid,
            message,
            "Write oci:DIRECTORY:TAG with one of the tags.",
        ),
        SourceError::Platform { .. } => Reason::lasting(
            Code::WrongArchitecture,
            message,
            "Use an image that is built for the host's processors.",
        ),
        SourceError::Spec(_) => of_invalid(message),
    }
}

fn of_layer(error: &LayerError, message: String) -> Reason {
    match error {
        LayerError::Source(source) => of_source(source, message),
        LayerError::Truncated => Reason::lasting(
            ReasonCode::LayerTruncated,
            message,
            "Build the image again and push it again.",
        ),
        LayerError::Unpack(UnpackError::Write(_)) | LayerError::Store(_) => of_cache(message),
        LayerError::Unpack(
            UnpackError::Tar(_)
            | UnpackError::Path { .. }
            | UnpackError::Range { .. }
            | UnpackError::Limit { .. },
        )
        | LayerError::Decode(_) => of_invalid(message),
        LayerError::DiffId { .. } => Reason::lasting(
            ReasonCode::DigestMismatch,
            message,
            "The image's configuration does not belong to its layers; build it again.",
        ),
        LayerError::Thread(_) => Reason::passing(
            ReasonCode::HostFailed,
            message,
            "The host is out of memory or threads; try again later.",
        ),
        LayerError::Cancelled => Reason::passing(ReasonCode::HostFailed, message, "Try again."),
    }
}

fn of_build(error: &BuildError, message: String) -> Reason {
    match error {
        BuildError::Merge(_) | BuildError::TooLarge { .. } => of_invalid(message),
        BuildError::LayerGone(_) => Reason::passing(ReasonCode::HostFailed, message, "Try again."),
        BuildError::Erofs(_) | BuildError::Write(_) | BuildError::Store(_) => of_cache(message),
    }
}

fn of_invalid(message: String) -> Reason {
    Reason::lasting(
        ReasonCode::ImageInvalid,
        message,
        "Use another image, or build this one again with a current tool.",
    )
}

fn of_cache(message: String) -> Reason {
    Reason::passing(
        ReasonCode::HostFailed,
        message,
        "Check the host's disk and the rights of the cache's directory.",
    )
}

/// An error and its causes, in one line.
fn sentence(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether the host's disk, or a quota on it, is the cause somewhere down the chain.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |&cause| cause.source());
    chain.any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(
            kind,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    })
}
