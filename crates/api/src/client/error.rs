use crate::{ExitCode, ProblemDocument};

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address cannot be read.
    #[error("{url:?} is not the address of a server; it looks like http://127.0.0.1:7480")]
    Url {
        /// What was given.
        url: String,
    },
    /// Anybody on the way could read the token.
    #[error("the token would travel to {url} unprotected; plain http is for this machine only, use https")]
    TokenInTheClear {
        /// The server's address.
        url: String,
    },
    /// The token holds characters that no token has.
    #[error("the token holds characters that cannot be sent; is its file damaged?")]
    TokenForm,
    /// Nothing can have that name.
    #[error("{value:?} is neither a name nor an id")]
    Segment {
        /// What was given.
        value: String,
    },
    /// The connection could not be set up.
    #[error("cannot set up the connection")]
    Setup {
        /// The cause.
        source: reqwest::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls {
        /// The cause.
        source: rustls::Error,
    },
    /// The certificate to trust is none.
    #[error("that is no certificate")]
    Certificate {
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// Nobody answers there.
    #[error("no answer from {url}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// An answer did not come in time.
    #[error("{url} did not answer in time")]
    Timeout {
        /// The server's address.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The server refused, in its own words.
    #[error("{}", .0.detail)]
    Problem(Box<ProblemDocument>),
    /// Something else than Pitwall answers there.
    #[error("{url} answered {status} in words that are not Pitwall's; is another service listening there?")]
    NotPitwall {
        /// The server's address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is good, but not of the shape this version knows.
    #[error("the answer of {url} cannot be read; is the server of another version?")]
    Answer {
        /// The server's address.
        url: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// An event stream broke and could not be joined again.
    #[error("the event stream of {url} broke and did not come back")]
    StreamLost {
        /// The server's address.
        url: String,
    },
    /// A stream ended before its end.
    #[error("the stream from {url} broke off: {why}")]
    StreamBroken {
        /// The server's address.
        url: String,
        /// What is known of it.
        why: String,
    },
}

impl ClientError {
    /// How a command ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Url { .. } | Self::TokenInTheClear { .. } | Self::Segment { .. } => ExitCode::Usage,
            Self::TokenForm => ExitCode::SignIn,
            Self::Unreachable { .. } | Self::StreamLost { .. } | Self::StreamBroken { .. } => {
                ExitCode::Unavailable
            }
            Self::Timeout { .. } => ExitCode::Timeout,
            Self::Problem(problem) => problem.exit_code(),
            Self::Setup { .. }
            | Self::Tls { .. }
            | Self::Certificate { .. }
            | Self::NotPitwall { .. }
            | Self::Answer { .. } => ExitCode::Error,
        }
    }

    /// Whether the server refused with this problem code.
    pub fn is_code(&self, code: &str) -> bool {
        matches!(self, Self::Problem(problem) if problem.code == code)
    }

    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 404)
    }

    /// Whether asking again may help: the way to the server broke, not the request.
    pub const fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::StreamLost { .. }
                | Self::StreamBroken { .. }
        )
    }
}
