//! The error of a use case: a problem in the caller's voice, and the cause for the operator's log.

use std::error::Error as StdError;
use std::fmt;

use model::{Problem, ProblemCode};
use store::StoreError;

use crate::Actor;
use crate::clock::EntropyError;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why a use case did not do what was asked.
#[derive(Debug)]
pub struct Error {
    /// What the caller is told.
    pub problem: Problem,
    /// What the operator reads in the log; never shown to the caller.
    source: Option<Cause>,
    /// Whose token let nobody in, for the audit.
    actor: Option<Box<Actor>>,
}

impl Error {
    pub(crate) fn internal(source: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            problem: Problem::new(ProblemCode::Internal, "Pitwall failed in a way it should not")
                .hint("its log has the cause under this request's id; trying again may help"),
            source: Some(Box::new(source)),
            actor: None,
        }
    }

    /// A refusal of somebody who is known and let in nowhere.
    pub(crate) fn refused(problem: Problem, actor: Actor) -> Self {
        Self {
            actor: Some(Box::new(actor)),
            ..Self::from(problem)
        }
    }

    /// Whose token let nobody in: it has expired, or its user is disabled.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_deref()
    }

    /// Whether the fault is Pitwall's own, so that the operator must hear of it.
    pub const fn is_fault(&self) -> bool {
        self.source.is_some()
    }
}

/// An error and its causes on one line, for a log.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            source: None,
            actor: None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::Full { .. } => Problem::new(
                ProblemCode::Unavailable,
                "Pitwall's own disk is full, so nothing can be changed",
            )
            .hint("free some space where its database lies, then try again"),
            StoreError::Busy { .. } | StoreError::InUse { .. } => Problem::new(
                ProblemCode::Unavailable,
                "Pitwall's database is held by somebody else",
            )
            .hint("try again in a moment; if it stays so, look for a program that has the database open"),
            StoreError::Prepare { .. }
            | StoreError::Newer { .. }
            | StoreError::Sql { .. }
            | StoreError::Damaged { .. }
            | StoreError::Unkeepable { .. } => return Self::internal(error),
        };
        Self {
            problem,
            source: Some(Box::new(error)),
            actor: None,
        }
    }
}

impl From<EntropyError> for Error {
    fn from(error: EntropyError) -> Self {
        Self::internal(error)
    }
}
