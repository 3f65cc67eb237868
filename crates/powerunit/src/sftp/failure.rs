//! Requests that cannot be done, and how they are told (draft-ietf-secsh-filexfer-02 section 7).

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// The codes of SSH_FXP_STATUS that a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    Eof = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    OpUnsupported = 8,
}

/// Why a request is not done; the session goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no more to read of this file or directory.
    #[error("end of file")]
    Eof,
    #[error("this server does not know the request")]
    Unsupported,
    #[error("no open file or directory has this handle")]
    NoSuchHandle,
    #[error("too many files and directories are open")]
    TooManyHandles,
    #[error("a file cannot be copied into itself")]
    SameFile,
    #[error("no such user")]
    NoSuchUser,
    /// What the kernel says; its own words are the best there are.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl Failure {
    /// The code to tell the client.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Eof => Status::Eof,
            Self::Unsupported => Status::OpUnsupported,
            Self::NoSuchUser => Status::NoSuchFile,
            Self::NoSuchHandle | Self::TooManyHandles | Self::SameFile => Status::Failure,
            Self::System(error) => of_system(error.kind()),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "version 3 has a code for few errors and one for all others"
)]
fn of_system(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Status::NoSuchFile,
        ErrorKind::PermissionDenied => Status::PermissionDenied,
        ErrorKind::Unsupported => Status::OpUnsupported,
        _ => Status::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_clients_act_on() {
        let told = |errno: Errno| Failure::from(errno).status();
        assert_eq!(told(Errno::NOENT), Status::NoSuchFile);
        assert_eq!(told(Errno::NOTDIR), Status::NoSuchFile);
        assert_eq!(told(Errno::ACCESS), Status::PermissionDenied);
        assert_eq!(told(Errno::PERM), Status::PermissionDenied);
        assert_eq!(told(Errno::OPNOTSUPP), Status::OpUnsupported);
        assert_eq!(told(Errno::EXIST), Status::Failure);
        assert_eq!(told(Errno::NOSPC), Status::Failure);
        assert_eq!(Failure::Eof.status(), Status::Eof);
        assert_eq!(Failure::Unsupported.status(), Status::OpUnsupported);
    }
}
