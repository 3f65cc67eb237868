//! Whether a client of a released OpenAPI document can go on with another one.
//!
//! ```text
//!   released document ──┐
//!                       ├─► operations (pure) ─► schemas (pure) ─► breakages
//!   today's document ───┘
//! ```
//!
//! A schema is judged by who writes and who reads. The body of a request is written by an old client and read by the
//! new server, an answer is written by the new server and read by an old client. So requests may only widen and
//! answers only narrow, by one rule: whatever the writer's schema allows, the reader's must allow. Answers are open,
//! so a field that only the writer knows is no matter.
//!
//! What always holds: a keyword that this judge does not know is a breakage as soon as it changes.

mod breakage;
mod form;
mod operation;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use breakage::Breakage;

/// The two documents.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The released document
    old: PathBuf,
    /// The document that is to follow it
    new: PathBuf,
}

/// Why a document is not known to be compatible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not JSON", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("clients of the released API would break:\n{}", lines(.0))]
    Breakages(Vec<Breakage>),
}

/// Refuses a document that breaks clients of an older one.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let breakages = operation::breakages(&document(&args.old)?, &document(&args.new)?);
    match breakages.is_empty() {
        true => Ok(()),
        false => Err(Error::Breakages(breakages)),
    }
}

fn document(path: &Path) -> Result<Value, Error> {
    let text = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

fn lines(breakages: &[Breakage]) -> String {
    let lines: Vec<_> = breakages.iter().map(|breakage| format!("  {breakage}")).collect();
    lines.join("\n")
}
