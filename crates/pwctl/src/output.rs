//! Results on stdout, in the form that was asked for; talk on stderr.
//!
//! ```text
//!   a command's result ─► list() · one() · entry() ─► table · wide · name · json · yaml
//! ```
//!
//! A form for programs (`json`, `yaml`, `name`) depends on nothing but the result. What people read is fitted to the
//! terminal's width and coloured, where there is a terminal and `NO_COLOR` is not set.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use crate::table::{Page, Table};
use crate::{terminal, yaml};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// What people read most
    Table,
    /// The same with more columns, and none cut
    Wide,
    /// A name or id per line
    Name,
    /// One document; a line per event, log entry or change
    Json,
    /// The same in YAML
    Yaml,
}

/// Where results go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
    page: Page,
}

impl Output {
    /// `quiet` alone asks for names.
    pub(crate) fn new(format: Option<Format>, quiet: bool) -> Self {
        let usual = if quiet { Format::Name } else { Format::Table };
        let format = format.unwrap_or(usual);
        let is_terminal = io::stdout().is_terminal();
        let width = || terminal::size().map(|(columns, _)| usize::from(columns));
        let is_wide = format == Format::Wide;
        Self {
            format,
            quiet,
            page: Page {
                is_wide,
                width: (is_terminal && !is_wide).then(width).flatten(),
                colors: is_terminal && colors_are_welcome(),
            },
        }
    }

    /// Whether advice and progress are unwanted.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet || matches!(self.format, Format::Name | Format::Json | Format::Yaml)
    }

    /// Whether results are documents, so that a failure is one too.
    pub(crate) const fn is_document(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// How text for people looks.
    pub(crate) const fn page(&self) -> Page {
        self.page
    }

    /// Tells something beside the result, where that is wanted.
    pub(crate) fn remark(&self, text: &str) {
        if !self.is_quiet() {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Whether somebody watches progress.
    pub(crate) fn is_watched(&self) -> bool {
        !self.is_quiet() && io::stderr().is_terminal()
    }

    /// Prints a list.
    pub(crate) fn list(
        &self,
        value: &impl Serialize,
        names: impl FnOnce() -> Vec<String>,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        self.print(value, names, || table().render(self.page))
    }

    /// Prints one thing: its document, its name, or the text.
    pub(crate) fn one(
        &self,
        value: &impl Serialize,
        name: &str,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.print(value, || vec![name.to_owned()], text)
    }

    /// Prints what was done to several things.
    pub(crate) fn many(
        &self,
        value: &impl Serialize,
        names: Vec<String>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.print(value, || names, text)
    }

    /// Prints one of many that come one after the other: as JSON, on one line.
    pub(crate) fn entry(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let document = self
            .document(value)
            .map_err(|source| Failure::Output { source })?;
        print(&document.unwrap_or_else(text))
    }

    /// One of many that come one after the other, where programs read it.
    pub(crate) fn document(&self, value: &impl Serialize) -> io::Result<Option<String>> {
        Ok(match self.format {
            Format::Json => Some(serde_json::to_string(value)? + "\n"),
            Format::Yaml => Some(format!("---\n{}", yaml::document(&serde_json::to_value(value)?))),
            Format::Table | Format::Wide | Format::Name => None,
        })
    }

    fn print(
        &self,
        value: &impl Serialize,
        names: impl FnOnce() -> Vec<String>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => json(value)?,
            Format::Yaml => yaml_of(value)?,
            Format::Name => names().iter().map(|name| format!("{name}\n")).collect(),
            Format::Table | Format::Wide => text(),
        };
        print(&text)
    }
}

/// As <https://no-color.org> has it; a dumb terminal shows none.
fn colors_are_welcome() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !refused && !is_dumb
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::Output { source: error.into() })
}

fn yaml_of(value: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(value);
    value
        .map(|value| yaml::document(&value))
        .map_err(|error| Failure::Output { source: error.into() })
}

/// Prints text as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output { source }),
        Ok(()) | Err(_) => Ok(()),
    }
}
