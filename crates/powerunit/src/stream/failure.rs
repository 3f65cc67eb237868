//! Why a stream did not do what it was for, in the words of the protocol.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use wire::stream::{Failure, FailureCode};

use crate::chain::chain;
use crate::launch::NotStarted;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    #[error("cannot watch the program")]
    Watch(#[source] io::Error),
    #[error("{0:?} is not an absolute path")]
    NotAbsolute(String),
    #[error("cannot {operation} {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the archive cannot be read")]
    Archive(#[source] io::Error),
    #[error("the archive names {}, which is outside of the directory", .0.display())]
    Outside(PathBuf),
    #[error("the archive holds {} of an unknown kind", .0.display())]
    UnknownKind(PathBuf),
    #[error("the other side ended the copy")]
    Closed,
}

impl Error {
    pub(super) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::File {
            operation,
            path,
            source: errno.into(),
        }
    }

    fn code(&self) -> FailureCode {
        match self {
            Self::NotStarted(error) => code_of_start(error),
            Self::File { source, .. } => code_of(source),
            Self::NotAbsolute(_) | Self::Archive(_) | Self::Outside(_) | Self::UnknownKind(_) => {
                FailureCode::Invalid
            }
            Self::Closed => FailureCode::Lost,
            Self::Watch(_) => FailureCode::Failed,
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code(),
            message: chain(error),
        }
    }
}

fn code_of_start(error: &NotStarted) -> FailureCode {
    match error {
        NotStarted::Nothing => FailureCode::Invalid,
        NotStarted::Account(_) | NotStarted::NotInPath { .. } => FailureCode::NotFound,
        NotStarted::Directory { source, .. } | NotStarted::Run { source, .. } => code_of(source),
        NotStarted::Plumbing(_) => FailureCode::Failed,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many answers, clients act on two"
)]
fn code_of(source: &io::Error) -> FailureCode {
    match source.kind() {
        ErrorKind::NotFound => FailureCode::NotFound,
        ErrorKind::PermissionDenied => FailureCode::NotPermitted,
        _ => FailureCode::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_failure_has_a_word_and_a_whole_sentence() {
        let full = Failure::from(&Error::file("write", "/srv/a")(Errno::NOSPC));
        assert_eq!(full.code, FailureCode::Failed);
        assert!(
            full.message
                .starts_with("cannot write /srv/a: No space left on device")
        );
        let missing = Failure::from(&Error::file("open", "/srv/a")(Errno::NOENT));
        assert_eq!(missing.code, FailureCode::NotFound);
    }
}
