//! Results on stdout: text for people, or one JSON document.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Where results go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Not at all.
    Silent,
    /// A line per stage.
    Lines,
    /// A line that changes in place.
    Live,
}

impl Output {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether advice and progress are unwanted.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet || self.json
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Tells something beside the result, where that is wanted.
    pub(crate) fn remark(&self, text: &str) {
        if !self.is_quiet() {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    pub(crate) fn talk(&self) -> Talk {
        match (self.is_quiet(), io::stderr().is_terminal()) {
            (true, _) => Talk::Silent,
            (false, true) => Talk::Live,
            (false, false) => Talk::Lines,
        }
    }

    /// Prints the value as JSON, or else the text.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.json {
            true => json(value)?,
            false => text(),
        };
        print(&text)
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::Output { source: error.into() })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output { source }),
        Ok(()) | Err(_) => Ok(()),
    }
}
