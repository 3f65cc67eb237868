//! The domain error: what kind of refusal it is, a sentence for the caller, and the next step. It knows no
//! transport; `api` holds the one table from its code to an HTTP status and an exit code.

use std::fmt;

use crate::QuotaExceeded;

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A closed list of refusals, each with a stable text form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

problem_codes! {
    /// The request is not of the form the API takes.
    InvalidRequest = "invalid_request";
    /// A value in the request is not acceptable.
    InvalidValue = "invalid_value";
    /// No token, or one that is not known.
    Unauthenticated = "unauthenticated";
    /// The token was good once.
    TokenExpired = "token_expired";
    /// The user was disabled.
    UserDisabled = "user_disabled";
    /// The token was not made for this.
    InsufficientScope = "insufficient_scope";
    /// Only admins may do this.
    AdminOnly = "admin_only";
    /// The caller may see it, and may not do this to it.
    Forbidden = "forbidden";
    /// There is no such thing.
    NotFound = "not_found";
    /// The path exists, but not for this method.
    MethodNotAllowed = "method_not_allowed";
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type";
    /// The body is larger than the API takes.
    BodyTooLarge = "body_too_large";
    /// The cursor is none of this list.
    InvalidCursor = "invalid_cursor";
    /// Something else is asked by now than `If-Match` says.
    Changed = "changed";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyMismatch = "idempotency_mismatch";
    /// What is waited for cannot come about by itself.
    WaitImpossible = "wait_impossible";
    /// Several have that name.
    AmbiguousName = "ambiguous_name";
    /// Another VM, user or team has that name.
    NameTaken = "name_taken";
    /// No key would open the VM.
    NoSshKey = "no_ssh_key";
    /// Without this admin there would be none.
    LastAdmin = "last_admin";
    /// The user or team owns VMs still.
    OwnsVms = "owns_vms";
    /// What was asked does not fit the VM's status.
    WrongStatus = "wrong_status";
    /// Its owner's quota leaves no room for it.
    QuotaExceeded = "quota_exceeded";
    /// No host has room for it.
    NoCapacity = "no_capacity";
    /// No host is there to take it.
    NoHost = "no_host";
    /// The file, program or account may not be used so.
    NotPermitted = "not_permitted";
    /// The VM, as it is, cannot do that.
    Unsupported = "unsupported";
    /// The path is a WebSocket, and the request is none.
    UpgradeRequired = "upgrade_required";
    /// More requests came than the rate allows.
    RateLimited = "rate_limited";
    /// Too much of it is under way already.
    Busy = "busy";
    /// Something went wrong inside the VM.
    GuestFailed = "guest_failed";
    /// Something it needs is away for now.
    Unavailable = "unavailable";
    /// It took longer than the request may.
    Timeout = "timeout";
    /// A fault of Pitwall's own.
    Internal = "internal";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal, in the caller's voice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// What programs look at.
    pub code: ProblemCode,
    /// What happened and why, in a sentence.
    pub detail: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
    /// Which value of the request, as a JSON pointer (RFC 6901).
    pub pointer: Option<String>,
    /// The numbers of a [`ProblemCode::QuotaExceeded`].
    pub quota: Option<Box<QuotaExceeded>>,
}

impl Problem {
    /// A refusal with its sentence.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            pointer: None,
            quota: None,
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds which value of the request is meant, as a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Adds the numbers of an exceeded quota.
    #[must_use]
    pub fn quota(mut self, exceeded: QuotaExceeded) -> Self {
        self.quota = Some(Box::new(exceeded));
        self
    }
}
