//! Why a figure could not be measured.

use std::io;
use std::process::Output;
use std::time::Duration;

/// Why a figure could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("failed to {operation}")]
    Io { operation: String, source: io::Error },
    #[error("{command} failed: {said}")]
    Failed { command: String, said: String },
    #[error("not within {limit:?}: {what}")]
    Late { what: String, limit: Duration },
    #[error("{what} does not read as expected: {text}")]
    Unreadable { what: &'static str, text: String },
    #[error("failed to make a disk")]
    Disk(#[from] orchestrator::DiskError),
    #[error("the guest failed: {0}")]
    Guest(String),
    #[error("a second `make up` said something else than the first: {first:?}, then {second:?}")]
    Differs { first: String, second: String },
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// For `map_err`: what was being done when the call failed.
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }

    pub(crate) fn failed(command: impl Into<String>, output: &Output) -> Self {
        let said = format!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Self::Failed {
            command: command.into(),
            said: said.trim().to_owned(),
        }
    }

    pub(crate) fn unreadable(what: &'static str, text: impl Into<String>) -> Self {
        Self::Unreadable {
            what,
            text: text.into(),
        }
    }
}
