//! nftables, by its program: one transaction per call.

use serde::Deserialize;

use super::program::Run;
use crate::hands::{HandsError, Table};

const PROGRAM: &str = "nft";

/// A chain of nftables as `nft -j list chains` tells it (libnftables-json(5)).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Chain {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    hook: Option<String>,
    policy: Option<String>,
}

impl Chain {
    /// Whether packets that no rule of it accepts are not forwarded.
    pub(super) fn drops_forwarded(&self) -> bool {
        self.hook.as_deref() == Some("forward") && self.policy.as_deref() == Some("drop")
    }
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    chain: Option<Chain>,
}

/// Applies a ruleset, whole or not at all.
pub(super) async fn apply(text: &str) -> Result<(), HandsError> {
    let run = Run {
        program: PROGRAM,
        operation: "apply the ruleset",
        arguments: &["-f", "-"],
        input: text,
    };
    run.output().await.map(drop)
}

/// Deletes a table, whether or not it is there.
pub(super) async fn delete(table: &Table) -> Result<(), HandsError> {
    apply(&format!("add table {table}\ndelete table {table}\n")).await
}

/// The tables that are there, as nft writes them, without counters.
pub(super) async fn read(tables: &[Table]) -> Result<String, HandsError> {
    let mut text = String::new();
    for table in tables {
        let input = format!("list table {table}\n");
        let run = Run {
            program: PROGRAM,
            operation: "list a table",
            arguments: &["-s", "-f", "-"],
            input: &input,
        };
        match run.output().await {
            Ok(listing) => text.push_str(&listing),
            Err(HandsError::Program { said, .. }) if said.contains("No such file or directory") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(text)
}

/// Every chain of this host.
pub(super) async fn chains() -> Result<Vec<Chain>, HandsError> {
    let run = Run {
        program: PROGRAM,
        operation: "list chains",
        arguments: &["-j", "list", "chains"],
        input: "",
    };
    let listing: Listing =
        serde_json::from_str(&run.output().await?).map_err(|source| HandsError::Answer {
            program: PROGRAM,
            source,
        })?;
    Ok(listing
        .nftables
        .into_iter()
        .filter_map(|item| item.chain)
        .collect())
}
