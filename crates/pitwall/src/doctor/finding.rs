//! What was looked at, what is wrong with it, and what mends it.

use super::fix::Fix;

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) what: &'static str,
    /// Whether VMs can run with it as it is.
    pub(super) ok: bool,
    /// What was found.
    pub(super) found: String,
    /// The command or change that mends it.
    pub(super) mend: Option<String>,
    /// Whether `--fix` does that.
    pub(super) fixable: bool,
    #[serde(skip)]
    pub(super) fix: Option<Fix>,
}

/// What mends a finding.
pub(super) struct Mend {
    command: String,
    fix: Option<Fix>,
}

impl From<&str> for Mend {
    fn from(command: &str) -> Self {
        command.to_owned().into()
    }
}

impl From<String> for Mend {
    fn from(command: String) -> Self {
        Self { command, fix: None }
    }
}

impl From<Fix> for Mend {
    fn from(fix: Fix) -> Self {
        Self {
            command: fix.to_string(),
            fix: Some(fix),
        }
    }
}

/// It is as it should be.
pub(super) fn well(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        what,
        ok: true,
        found: found.into(),
        mend: None,
        fixable: false,
        fix: None,
    }
}

/// VMs run with it, and it could be better.
pub(super) fn note(what: &'static str, found: impl Into<String>, mend: impl Into<Mend>) -> Finding {
    let mend = mend.into();
    Finding {
        mend: Some(mend.command),
        fixable: mend.fix.is_some(),
        fix: mend.fix,
        ..well(what, found)
    }
}

/// VMs do not run with it, or not safely.
pub(super) fn bad(what: &'static str, found: impl Into<String>, mend: impl Into<Mend>) -> Finding {
    Finding {
        ok: false,
        ..note(what, found, mend)
    }
}
